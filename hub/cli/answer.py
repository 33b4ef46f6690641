"""`Answer`: the audio of a request on its way to a command, from a hub in this process or over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from hub.contract.conversion import ConversionRequest
from hub.contract.speech import SpeechRequest


class Answer(Protocol):
    """The answer to one request; iterating it yields the bytes of the container. All times are in seconds.

    `load` is the time that the model took to load (0 if it was loaded, or runs in another hub), `first_audio` the time
    from then to the first audio, `seconds` the audio so far, `spoken` the characters of the text that the audio covers.
    None means unknown.
    """

    model: str
    voice: str
    sample_rate: int
    load: float
    first_audio: float | None
    seconds: float | None
    spoken: int | None

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises HubError if the speech breaks off."""
        ...


class Source(Protocol):
    """The hub that answers."""

    def speak(self, request: SpeechRequest | ConversionRequest, *, whole: bool) -> AbstractAsyncContextManager[Answer]:
        """Start to speak, or to convert; leaving the context stops the model. Raises HubError.

        `whole` says that no one listens before the end, so that headers can state the exact length.
        """
        ...
