"""Speaking: an answer under way, as routes and plugins see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from hub.contract.event import AudioChunk, Done, Mark


class Speaking(Protocol):
    """A Speech, or an object that behaves like one."""

    @property
    def sample_rate(self) -> int:
        """Hz, known once the speech is primed."""
        ...

    @property
    def request_id(self) -> str:
        """The id of this request in the logs."""
        ...

    @property
    def model(self) -> str:
        """The model that speaks."""
        ...

    @property
    def voice(self) -> str:
        """The voice that speaks; "" if it has no name."""
        ...

    def __aiter__(self) -> AsyncIterator[AudioChunk | Mark | Done]: ...

    async def __anext__(self) -> AudioChunk | Mark | Done: ...

    async def aclose(self) -> None:
        """Stop the model if it is still speaking."""
        ...
