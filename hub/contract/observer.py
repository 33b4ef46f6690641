"""Observers: objects that a plugin registers to record what happened (logs, metrics, billing)."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class SpeechReport(Struct, kw_only=True, frozen=True):
    """One finished request: speech, a conversion, or a call to a codec. Times are in seconds.

    `chars` is the length of the text, 0 if there is none. `outcome` is `ok` or an error code of docs/errors.md; `model`
    and `backend` are empty if the request named an unknown model. `queued` is from arrival to the start of work,
    `work` from there until the model has finished, `first_audio` from arrival to the first chunk (None if there was
    none), `total` from arrival to the end. `underruns` counts the chunks that came too late for a player that began at
    the first chunk.
    """

    request_id: str
    model: str
    backend: str
    voice: str
    caller: str
    outcome: str
    chars: int
    audio: float
    queued: float
    work: float
    first_audio: float | None
    total: float
    underruns: int


class Observer(Protocol):
    """A listener that the event loop calls after a request has ended, never between two chunks; it must return at once.

    If an observer raises, the hub logs the error; the request is not affected.
    """

    def speech_ended(self, report: SpeechReport) -> None:
        """Record that a request ended, well or badly."""
        ...

    def worker_crashed(self, model: str, reason: str) -> None:
        """Record that a model's worker process crashed."""
        ...
