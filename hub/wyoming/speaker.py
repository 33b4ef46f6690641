"""The hub as a Wyoming server sees it, in this process or elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from hub.contract.speech import SpeechRequest


class SpeakerVoice(Struct, kw_only=True, frozen=True):
    """A voice of one model. `voice` is "" for a model without voices to choose; no `languages` means any."""

    model: str
    voice: str
    title: str = ""
    languages: tuple[str, ...] = ()
    default: bool = False


class Pcm(Protocol):
    """One utterance: iterate it for 16-bit little-endian mono at `sample_rate` Hz. Raises HubError."""

    sample_rate: int

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Speaker(Protocol):
    """A hub that speaks."""

    async def voices(self) -> Sequence[SpeakerVoice]:
        """Return all voices, those of the default model first. Raises HubError."""
        ...

    def speak(self, request: SpeechRequest) -> AbstractAsyncContextManager[Pcm]:
        """Begin to speak, as PCM; leaving the context stops the model. Raises HubError."""
        ...
