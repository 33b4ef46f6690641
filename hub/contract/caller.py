"""The caller of a request: set by `hub.api.http.auth` while it runs, charged for the audio it generates."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Caller(Protocol):
    """An authenticated API key."""

    @property
    def name(self) -> str:
        """The key's name, for reports and logs; never the key."""
        ...

    def admit(self) -> None:
        """Count one more request, such as an utterance of a websocket. Raises RateLimited."""
        ...

    def charge_audio(self, seconds: float) -> None:
        """Count `seconds` of audio that were generated for this caller."""
        ...


current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)
