"""Observers: objects that a plugin registers to be told what happened (logs, metrics, billing)."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class SpeechReport(Struct, kw_only=True, frozen=True):
    """One finished request to speak, to convert a recording, or to a codec. Times in seconds.

    `chars` are of the text, 0 where there is none. `outcome` is `ok` or an error code of docs/errors.md; `model` and
    `backend` are empty if the request named a model that there is not. `queued` is from arrival to the start of work,
    `work` from there until the model was through with it, `first_audio` from arrival to the first chunk (None if there
    was none), `total` from arrival to the end. `underruns` counts the chunks that came later than a player that began
    at the first chunk would have needed them.
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
    """Called from the event loop after the fact, never between two chunks; must return at once.

    An observer that raises is logged and does not disturb the request.
    """

    def speech_ended(self, report: SpeechReport) -> None:
        """A request ended, well or badly."""
        ...

    def worker_crashed(self, model: str, reason: str) -> None:
        """A model's worker process died unasked."""
        ...
