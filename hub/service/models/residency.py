"""Residency: which models are loaded, and how much memory they may hold.

A model is loaded when it is first needed, and unloaded when it has rested for its `idle_unload`, when another model
needs its memory, or by command. The models of one device share its budget (`[devices.NAME] memory`): if one does not
fit, those that have rested longest are unloaded first. A busy model is never unloaded for another; a request that needs
the room waits until its deadline. `decisions` keeps each decision with its reason.

A decision is made without awaiting anything, on one event loop, and is at once visible in the model's `Seat`, so no two
can conflict. A seat counts from the decision to load until the worker process is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from hub.contract.backend import Loaded
from hub.contract.errors import BackendUnavailable, DeadlineExceeded, HubError, Unavailable
from hub.engine.base import Engine
from hub.service.disk.sizes import parse_size, show_size
from hub.service.models.decisions import Action, Decisions
from hub.service.models.lane import Lane
from hub.service.models.memory import device_of, used
from hub.service.models.seat import Seat
from hub.settings import DeviceSettings, ModelSettings

log = logging.getLogger("hub.models")

FRESH = 2.0
"""Seconds for which a measurement of memory is used."""

TRY_AGAIN = 5.0
"""Retry-After of a request whose model was not ready in time."""


class Residency:
    """Loads and unloads the models of a hub. All methods belong to one event loop."""

    def __init__(self, devices: Mapping[str, DeviceSettings]) -> None:
        self.decisions = Decisions()
        self._budgets = {
            device_of(name): parse_size(one.memory) for name, one in devices.items() if one.memory is not None
        }
        self._seats: dict[str, Seat] = {}
        self._measured: dict[str, float] = {}  # device -> loop time
        self._measuring = asyncio.Lock()
        self._change = asyncio.Event()
        self._chores: set[asyncio.Task[None]] = set()
        self._closed = False

    # -- what there is ----------------------------------------------------------------------------

    def add(self, name: str, engine: Engine, lane: Lane, settings: ModelSettings) -> Seat:
        """Add a model; return its seat."""
        seat = self._seats[name] = Seat(name, engine, lane, settings, device_of(settings.device))
        seat.budget = self._budgets.get(seat.device)
        lane.on_idle = lambda: self._rests(seat)
        return seat

    def total(self, device: str) -> int:
        """Bytes that are counted for the models of `device`."""
        return sum(seat.counted for seat in self._on(device))

    def _on(self, device: str) -> list[Seat]:
        return [seat for seat in self._seats.values() if seat.device == device and seat.resident]

    # -- loading ----------------------------------------------------------------------------------

    async def load(self, seat: Seat, until: float | None, why: str, *, evict: bool = True) -> Loaded:
        """Load the model, at most until loop time `until`; return at once if it is loaded.

        Without `evict` no other model is unloaded for it. Raises DeadlineExceeded, Unavailable if there is no room
        without evicting, or the errors of `Engine.start`.
        """
        seat.touch()
        if not seat.up:
            seat.wanted += 1
            seat.may_evict |= evict
            try:
                async with asyncio.timeout_at(until):
                    await self._until_up(seat, why)
            except TimeoutError:
                raise self._too_late(seat) from None
            finally:
                seat.wanted -= 1
                if not seat.wanted and not seat.resident:
                    self._give_up(seat)
                self.changed()
        loaded = seat.engine.loaded
        assert loaded is not None
        return loaded

    async def _until_up(self, seat: Seat, why: str) -> None:
        while not seat.up:
            if self._closed:
                raise BackendUnavailable("the hub is stopping; try again later")
            if seat.ending is not None:
                await asyncio.wait([seat.ending])
                continue
            if seat.loading is None:
                seat.loading = asyncio.create_task(self._load(seat, why), name=f"load {seat.name}")
                seat.loading.add_done_callback(_seen)
            await asyncio.shield(seat.loading)

    def _give_up(self, seat: Seat) -> None:
        """Cancel the load: no request waits for it any more. A new request starts another one and does not join it."""
        loading, seat.loading = seat.loading, None
        if loading is not None:
            loading.cancel()

    def _too_late(self, seat: Seat) -> DeadlineExceeded:
        if seat.resident or seat.budget is None:
            return DeadlineExceeded(
                f"model {seat.name!r} is still loading; try again later, or raise its `deadline`", retry_after=TRY_AGAIN
            )
        others = [one for one in self._on(seat.device) if one is not seat]
        holders = ", ".join(f"{one.name!r} ({show_size(one.counted)})" for one in others)
        message = (
            f"there was no room for model {seat.name!r} in time: it needs {show_size(seat.need)}, and the budget of "
            f"{seat.device}, {show_size(seat.budget)}, was taken by busy models: {holders or 'none'}; try again later"
        )
        self._note(seat, "refuse", message)
        return DeadlineExceeded(message, retry_after=TRY_AGAIN)

    async def _load(self, seat: Seat, why: str) -> None:
        engine = seat.engine
        began = asyncio.get_running_loop().time()
        try:
            if not engine.status.retry_after:  # else it refuses to start, and no model is unloaded for that
                await self._admit(seat, why)
            await engine.start()
        except asyncio.CancelledError:
            if seat.ending is None:
                raise
            raise BackendUnavailable(f"model {seat.name!r} is being unloaded; try again") from None
        except HubError as error:
            if seat.resident:
                self._vacate(seat, "failed", error.message)
            raise
        finally:
            if seat.loading is asyncio.current_task():
                seat.loading = None
                seat.may_evict = False
        seat.rested = False
        self._book(seat)
        self._note(seat, "ready", f"after {asyncio.get_running_loop().time() - began:.1f} s")
        self._arm(seat)
        self._begin(self._settle(seat))

    def _book(self, seat: Seat) -> None:
        """Count the model on the device that its worker reports; the guess for `auto` may have been wrong."""
        loaded = seat.engine.loaded
        device = device_of(loaded.device) if loaded is not None and loaded.device else seat.device
        if device != seat.device:
            self._note(seat, "measured", f"its worker uses {device}, not {seat.device}")
            seat.device, seat.budget, seat.held = device, self._budgets.get(device), None

    async def _admit(self, seat: Seat, why: str) -> None:
        """Wait until the model fits, unloading others where that helps. Then it is resident."""
        if seat.need_is_guess:
            await asyncio.to_thread(seat.look_at_files)
        waited = False
        while not seat.resident:
            change = self._change
            if seat.budget is not None:
                await self._measure(seat.device)
            if seat.ending is not None or self._closed:
                raise BackendUnavailable(f"model {seat.name!r} is being unloaded; try again")
            if seat.resident:
                return
            victims = self._victims(seat)
            if victims == []:
                before = self.total(seat.device)
                seat.resident = True
                self._note(seat, "load", f"{why}; it needs {seat.need_words}", before)
            elif not seat.may_evict:
                seat.rested = True
                self._note(seat, "refuse", f"{why}; it needs {seat.need_words}, and there is no room beside the others")
                raise Unavailable(f"there is no room for model {seat.name!r} beside the models that are loaded")
            elif victims is not None:
                await self._evict(victims, f"{seat.name!r} needs {show_size(seat.need)}")
            else:
                if not waited:
                    self._note(seat, "wait", f"{why}; it needs {seat.need_words}, and the loaded models are busy")
                waited = True
                await change.wait()

    def _victims(self, seat: Seat) -> list[Seat] | None:
        """Idle models to unload so that `seat` fits: [] if it fits, None if unloading would not help now."""
        self._sweep()
        if seat.budget is None:
            return []
        over = self.total(seat.device) + seat.need - seat.budget
        if over <= 0:
            return []
        over -= sum(one.counted for one in self._on(seat.device) if one.ending is not None)
        return self._oldest(seat, over) or None

    def _oldest(self, seat: Seat, over: int) -> list[Seat]:
        """Idle models of the seat's device, longest at rest first, that hold `over` bytes; [] if all hold less."""
        chosen: list[Seat] = []
        for one in sorted(self._on(seat.device), key=lambda one: one.last_used):
            if over > 0 and one is not seat and not one.busy and one.ending is None and one.counted:
                chosen.append(one)
                over -= one.counted
        return chosen if over <= 0 else []

    async def _settle(self, seat: Seat) -> None:
        """Measure the model after its load, and evict others if the device is over its budget."""
        before = self.total(seat.device)
        await self._measure(seat.device, fresh=True)
        if seat.held is not None:
            self._note(seat, "measured", f"it holds {show_size(seat.held)}", before)
        if seat.budget is not None and (over := self.total(seat.device) - seat.budget) > 0:
            victims = self._oldest(seat, over)
            if victims:
                await self._evict(victims, f"with {seat.name!r} loaded, {seat.device} is over its budget")
            else:
                log.warning("the models of %s hold %s more than its budget", seat.device, show_size(over))
        self.changed()

    # -- unloading --------------------------------------------------------------------------------

    async def unload(self, seat: Seat, why: str, *, until: float | None = None, force: bool = False) -> None:
        """End the model's worker, if there is one.

        Requests that it works on finish first, at most until loop time `until`, and new ones wait; with `force` its
        streams end with a fault. Raises DeadlineExceeded.
        """
        if not (seat.resident or seat.loading or seat.ending):
            seat.rested = True
            return
        with seat.lane.paused():
            try:
                async with asyncio.timeout_at(until):
                    while seat.working and not force and seat.ending is None:
                        await self._change.wait()
            except TimeoutError:
                raise DeadlineExceeded(
                    f"model {seat.name!r} is still speaking; try again later, or use force", retry_after=TRY_AGAIN
                ) from None
            await asyncio.shield(self._end(seat, "unload", why))

    async def _evict(self, victims: list[Seat], why: str) -> None:
        endings = [self._end(victim, "evict", f"{why}; {victim.rest_words}") for victim in victims]
        await asyncio.wait(endings)

    def _end(self, seat: Seat, action: Action, why: str) -> asyncio.Task[None]:
        if seat.ending is None:
            seat.ending = asyncio.create_task(self._stop(seat, action, why), name=f"unload {seat.name}")
            self.changed()
        return seat.ending

    async def _stop(self, seat: Seat, action: Action, why: str) -> None:
        try:
            await seat.engine.stop()
            while seat.loading is not None:
                await asyncio.wait([seat.loading])
        finally:
            seat.ending = None
            seat.rested = True
            if seat.resident:
                self._vacate(seat, action, why)
            self.changed()

    def _vacate(self, seat: Seat, action: Action, why: str) -> None:
        before = self.total(seat.device)
        seat.resident, seat.held = False, None
        self._note(seat, action, why, before)

    async def close(self) -> None:
        """End every worker, for good. Streams under way end with a fault."""
        self._closed = True
        for seat in self._seats.values():
            if seat.timer is not None:
                seat.timer.cancel()
        endings = [self._end(seat, "unload", "the hub stops") for seat in self._seats.values()]
        if endings:
            await asyncio.wait(endings)
        chores = list(self._chores)
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)

    # -- what happens meanwhile -------------------------------------------------------------------

    def changed(self) -> None:
        """Wake all that wait for a change: a model became idle, free or broken."""
        self._change.set()
        self._change = asyncio.Event()

    def crashed(self, name: str, reason: str) -> None:
        """Note a crash. The model's memory stays counted while the engine respawns the worker."""
        seat = self._seats[name]
        seat.held = None
        self._note(seat, "crash", f"the worker {reason}")
        self._begin(self._respawned(seat))

    async def _respawned(self, seat: Seat) -> None:
        """Wait for the end of the engine's respawn, and measure the new worker."""
        while seat.resident and not seat.up:
            await self._change.wait()
            self._sweep()
        if seat.up:
            await self._settle(seat)

    def _sweep(self) -> None:
        """Vacate the seat of each model whose respawn after a crash failed."""
        for seat in self._seats.values():
            if seat.resident and seat.dead:
                self._vacate(seat, "failed", seat.engine.status.last_error)

    def _rests(self, seat: Seat) -> None:
        seat.touch()
        self.changed()

    def _arm(self, seat: Seat, seconds: float | None = None) -> None:
        """Check later whether the model has rested for its `idle_unload`."""
        idle_unload = seat.settings.idle_unload
        if idle_unload is None or self._closed:
            return
        if seat.timer is not None:
            seat.timer.cancel()
        loop = asyncio.get_running_loop()
        seat.timer = loop.call_later(idle_unload if seconds is None else seconds, self._idle_due, seat, idle_unload)

    def _idle_due(self, seat: Seat, idle_unload: float) -> None:
        seat.timer = None
        if not seat.resident or seat.ending is not None:
            return
        left = seat.last_used + idle_unload - asyncio.get_running_loop().time()
        if seat.busy or left > 0:
            self._arm(seat, idle_unload if seat.busy else left)
        else:
            self._end(seat, "unload", f"it rested for {idle_unload:g} s")

    async def _measure(self, device: str, *, fresh: bool = False) -> None:
        """Measure the memory of the models of `device`, unless that was done a moment ago."""
        loop = asyncio.get_running_loop()
        async with self._measuring:  # in order of arrival: the first request decides first
            if not fresh and loop.time() - self._measured.get(device, -FRESH) < FRESH:
                return
            self._measured[device] = loop.time()
            pids = {seat: pid for seat in self._on(device) if seat.up and (pid := seat.engine.status.pid) is not None}
            said = await asyncio.gather(*(seat.engine.measure() for seat in pids))
            found = {pid: size for pid, size in zip(pids.values(), said, strict=True) if size is not None}
            silent = [pid for pid in pids.values() if pid not in found]
            if silent:
                found |= await asyncio.to_thread(used, device, silent)
            for seat, pid in pids.items():
                if pid in found and seat.engine.status.pid == pid:
                    seat.held = seat.measured = found[pid]

    def _begin(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _note(self, seat: Seat, action: Action, why: str, before: int | None = None) -> None:
        after = self.total(seat.device)
        self.decisions.note(seat.name, action, why, seat.device, after if before is None else before, after)
        self.changed()


def _seen(task: asyncio.Task[None]) -> None:
    """Retrieve the error of a load, which no request may be left to await."""
    with suppress(asyncio.CancelledError):
        task.exception()
