"""TextFilter: the object that `register_text_filters` registers."""

from __future__ import annotations

from typing import Protocol

from hub.contract.speech import SpeechRequest


class TextFilter(Protocol):
    """An object that rewrites text before synthesis, for example numbers into words or a glossary's spellings."""

    @property
    def order(self) -> int:
        """The filter's place: filters run from the lowest order to the highest, equal orders by plugin name."""
        ...

    def filter(self, text: str, request: SpeechRequest) -> str:
        """Return the text to speak instead of `text`: `request.text`, a turn, or a part of it between two pauses.

        It must be quick and may be called in any thread. The hub applies pronunciations to the last filter's result.
        """
        ...
