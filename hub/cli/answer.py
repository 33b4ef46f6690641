"""Answer: one utterance on its way to the command line, from a hub in this process or over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from hub.contract.conversion import ConversionRequest
from hub.contract.speech import SpeechRequest


class Answer(Protocol):
    """Iterate it for the bytes of the container. All times in seconds.

    `load` is how long the model took to come up (0 if it was up, or is not ours), `first_audio` from then to the first
    audio, `seconds` the audio so far, `spoken` the characters of the text that it covers. None: not to be known.
    """

    model: str
    voice: str
    sample_rate: int
    load: float
    first_audio: float | None
    seconds: float | None
    spoken: int | None

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, as it comes. Raises HubError if the speech breaks off."""
        ...


class Source(Protocol):
    """Whoever answers."""

    def speak(self, request: SpeechRequest | ConversionRequest, *, whole: bool) -> AbstractAsyncContextManager[Answer]:
        """Begin to speak, or to convert; leaving the context stops the model. Raises HubError.

        `whole` says that nobody listens before the end, so that headers can tell the exact length.
        """
        ...
