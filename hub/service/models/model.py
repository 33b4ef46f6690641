"""Model: a configured instance of a backend, with its engine and its lane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from hub.contract.backend import BackendSpec, Capabilities, Loaded
from hub.contract.voice import Voice
from hub.engine.base import Engine, EngineStatus
from hub.service.models.decisions import Decision
from hub.service.models.lane import Lane
from hub.service.models.ledger import Ledger
from hub.service.models.residency import Residency
from hub.service.models.seat import NeedSource
from hub.service.models.visit import Visit
from hub.settings import ModelSettings


class ModelStatus(Struct, kw_only=True, frozen=True):
    """One model, for `/v1/backends` and `/v1/health`. `memory`: what it holds of `device`, in bytes, where known."""

    name: str
    backend: str
    state: str
    running: int
    waiting: int
    concurrency: int
    crashes: int
    default: bool = False
    device: str = ""
    memory: int | None = None


class ModelMemory(Struct, kw_only=True, frozen=True):
    """A model's share of a device. Sizes are bytes.

    `need` is what has to be free before it is loaded, known from `source`; `held` what it was last measured to hold,
    None where it is not loaded or that cannot be told; `counted` what it counts for; `loaded` what all models of the
    device count for together, against `budget` (None: no bound).
    """

    device: str
    need: int
    source: NeedSource
    held: int | None
    counted: int
    loaded: int
    budget: int | None


class Model:
    """A configured instance of a backend."""

    def __init__(
        self, name: str, spec: BackendSpec, settings: ModelSettings, engine: Engine, residency: Residency
    ) -> None:
        self.name = name
        self.spec = spec
        self.settings = settings
        self.engine = engine
        self.lane = Lane(name, queue=settings.queue, concurrency=1)
        self._residency = residency
        self._seat = residency.add(name, engine, self.lane, settings)

    @property
    def loaded(self) -> Loaded | None:
        """What it said of itself when it was last loaded; None before its first load."""
        return self.engine.loaded

    @property
    def capabilities(self) -> Capabilities:
        """Of the loaded checkpoint once it has been loaded, of the backend before."""
        return self.loaded.capabilities if self.loaded else self.spec.capabilities

    @property
    def default_voice(self) -> str:
        """The preset that speaks when a request names no voice; see `default_preset`."""
        return default_preset(self.loaded)

    @property
    def missed(self) -> bool:
        """It is marked `preload` and is not up, and nobody decided so: not yet loaded, failed or crashed."""
        return self.settings.preload and not self._seat.rested and self.engine.status.state != "ready"

    async def start(self, until: float | None = None, *, why: str = "a request came", evict: bool = True) -> Loaded:
        """The model, loaded, waiting at most until loop time `until`; see `Residency.load`.

        It stays loaded while a request is in its lane. Who calls the engine without one, and does more than begin one
        stream or call at once, uses `hold`.
        """
        loaded = await self._residency.load(self._seat, until, why, evict=evict)
        if self.lane.concurrency != loaded.concurrency:
            self.lane.concurrency = loaded.concurrency
        return loaded

    @asynccontextmanager
    async def hold(self, until: float | None = None) -> AsyncIterator[Loaded]:
        """The model, loaded, and not unloaded before the end of the block, unless by force."""
        self._seat.holds += 1
        try:
            yield await self.start(until)
        finally:
            self._seat.holds -= 1
            self._seat.touch()
            self._residency.changed()

    @asynccontextmanager
    async def visit(self, ledger: Ledger, until: float) -> AsyncIterator[Visit]:
        """A place in the lane and the model, loaded, both at most until loop time `until`, for the block.

        The place is left with the block, or later where the block says so (`Visit.outlast`). Raises Busy,
        DeadlineExceeded, or what `start` raises.
        """
        place = await self.lane.enter(until)
        try:
            visit = Visit(place, ledger, await self.start(until))
        except BaseException:
            place.leave()
            raise
        try:
            yield visit
        except BaseException:
            visit.end()
            raise
        if not visit.outlasts:
            visit.end()

    async def unload(self, *, until: float | None = None, force: bool = False, why: str = "somebody asked") -> None:
        """End the worker; see `Residency.unload`."""
        await self._residency.unload(self._seat, why, until=until, force=force)

    async def voices(self) -> tuple[Voice, ...]:
        """The presets of the model; starts it if it has never been up."""
        return (self.loaded or await self.start()).voices

    async def lull(self, patience: float) -> None:
        """See `Lane.lull`."""
        await self.lane.lull(patience)

    def status(self) -> ModelStatus:
        """A snapshot."""
        status: EngineStatus = self.engine.status
        return ModelStatus(
            name=self.name,
            backend=self.spec.name,
            state=status.state,
            running=self.lane.running,
            waiting=self.lane.waiting,
            concurrency=self.lane.concurrency,
            crashes=status.crashes,
            device=self._seat.device,
            memory=self._seat.held,
        )

    def memory(self) -> ModelMemory:
        """What it takes of its device."""
        seat = self._seat
        return ModelMemory(
            device=seat.device,
            need=seat.need,
            source=seat.need_source,
            held=seat.held,
            counted=seat.counted,
            loaded=self._residency.total(seat.device),
            budget=seat.budget,
        )

    @property
    def last_used(self) -> float | None:
        """When a request last came or ended, in seconds since the epoch; None if never."""
        return self._seat.last_used_at

    def decisions(self) -> list[Decision]:
        """Why it was loaded, unloaded, and so on: the last ones, oldest first."""
        return self._residency.decisions.of(self.name)


def default_preset(loaded: Loaded | None) -> str:
    """The id of the preset that speaks by default: the one so marked, else the first; "" if there is none."""
    voices = loaded.voices if loaded else ()
    marked = [voice.id for voice in voices if voice.default]
    return next(iter(marked or [voice.id for voice in voices]), "")
