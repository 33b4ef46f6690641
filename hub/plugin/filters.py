"""TextFilter: what `register_text_filters` registers."""

from __future__ import annotations

from typing import Protocol

from hub.contract.speech import SpeechRequest


class TextFilter(Protocol):
    """Rewrites text before synthesis, for example numbers into words or a glossary's spellings."""

    @property
    def order(self) -> int:
        """Filters run from the lowest order to the highest; equal orders by plugin name."""
        ...

    def filter(self, text: str, request: SpeechRequest) -> str:
        """The text to speak instead of `text`, which is `request.text`, or a turn, or a part of it between two pauses.

        Must be quick; may be called in any thread. Pronunciations are applied to what the last filter returns.
        """
        ...
