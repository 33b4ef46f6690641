"""Ledger: one request's times and counts, from its arrival to its report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from hub.contract.caller import current_caller
from hub.contract.errors import HubError
from hub.contract.observer import SpeechReport
from hub.contract.speech import SpeechRequest


def chars_of(request: SpeechRequest) -> int:
    """Characters of the text, or of the turns."""
    return sum(len(turn.text) for turn in request.turns) + len(request.text or "")


class Ledger:
    """The times and counts of one request, which are reported once."""

    def __init__(self, report: Callable[[SpeechReport], None], chars: int, request_id: str) -> None:
        self._report = report
        self._caller = current_caller.get()
        self._chars = chars
        self._began: float | None = None
        self._worked: float | None = None
        self._first_audio: float | None = None
        self._deadline = 0.0  # loop time at which a player that started at the first chunk runs dry
        self._audio = 0.0
        self._underruns = 0
        self._closed = False
        self.request_id = request_id
        self.model = ""
        self.backend = ""
        self.voice = ""
        self.arrived = asyncio.get_running_loop().time()

    def work_began(self) -> None:
        """Note that the model begins work on the request."""
        self._began = asyncio.get_running_loop().time()

    def work_ended(self) -> None:
        """Note that the model has finished; the caller may still be reading."""
        self._worked = asyncio.get_running_loop().time()

    def read(self, chars: int) -> None:
        """Count `chars` more of a live text. If the player has run dry, it lacked text, so that is not an underrun."""
        self._chars += chars
        if self._first_audio is not None:
            self._deadline = max(self._deadline, asyncio.get_running_loop().time())

    def count(self, seconds: float, *, waited: bool) -> None:
        """Count a chunk of `seconds` of audio. `waited`: its consumer was ready before the chunk came."""
        now = asyncio.get_running_loop().time()
        if self._first_audio is None:
            self._first_audio = self._deadline = now
        elif waited and now > self._deadline:
            self._underruns += 1
            self._deadline = now
        self._deadline += seconds
        self._audio += seconds
        if self._caller is not None:
            self._caller.charge_audio(seconds)

    @contextmanager
    def reported(self) -> Iterator[Self]:
        """Report an error in the block as the outcome."""
        try:
            yield self
        except BaseException as error:
            self.close(error.code if isinstance(error, HubError) else "cancelled")
            raise

    def about(self, model: str, backend: str) -> None:
        """Note the model and the backend of the request."""
        self.model, self.backend = model, backend

    def close(self, outcome: str) -> None:
        """Report the request; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        now = asyncio.get_running_loop().time()
        self._report(
            SpeechReport(
                request_id=self.request_id,
                model=self.model,
                backend=self.backend,
                voice=self.voice,
                caller=self._caller.name if self._caller else "",
                outcome=outcome,
                chars=self._chars,
                audio=self._audio,
                queued=(self._began or now) - self.arrived,
                work=(self._worked or now) - (self._began or now),
                first_audio=self._first_audio - self.arrived if self._first_audio is not None else None,
                total=now - self.arrived,
                underruns=self._underruns,
            )
        )
