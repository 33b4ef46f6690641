"""Who is calling: set by `hub.api.http.auth` for the duration of a request, charged as audio is generated."""

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
        """Count one more request: an utterance of a websocket. Raises RateLimited."""
        ...

    def charge_audio(self, seconds: float) -> None:
        """Count audio that was generated for this caller."""
        ...


current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)
