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
    """One model, for `/v1/backends` and `/v1/health`. `memory`: the bytes that it holds of `device`, if known."""

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

    `need` must be free before the model is loaded; `source` says where the figure is from. `held` is the last
    measurement, None if the model is not loaded or cannot be measured. `counted` is the model's part of `loaded`, which
    counts all models of the device against `budget` (None: no limit).
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
        """The model's report from its last load; None before the first."""
        return self.engine.loaded

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the loaded checkpoint; before the first load, those of the backend."""
        return self.loaded.capabilities if self.loaded else self.spec.capabilities

    @property
    def default_voice(self) -> str:
        """The preset that speaks when a request names no voice; see `default_preset`."""
        return default_preset(self.loaded)

    @property
    def missed(self) -> bool:
        """True if it is marked `preload` and is not loaded, unless on purpose: not yet loaded, failed or crashed."""
        return self.settings.preload and not self._seat.rested and self.engine.status.state != "ready"

    async def start(self, until: float | None = None, *, why: str = "a request came", evict: bool = True) -> Loaded:
        """Load the model, at most until loop time `until`; see `Residency.load`.

        It stays loaded while a request is in its lane. Code that uses the engine without one, for more than a single
        stream or call at once, needs `hold`.
        """
        loaded = await self._residency.load(self._seat, until, why, evict=evict)
        if self.lane.concurrency != loaded.concurrency:
            self.lane.concurrency = loaded.concurrency
        return loaded

    @asynccontextmanager
    async def hold(self, until: float | None = None) -> AsyncIterator[Loaded]:
        """Load the model, and keep it loaded during the block unless it is unloaded by force."""
        self._seat.holds += 1
        try:
            yield await self.start(until)
        finally:
            self._seat.holds -= 1
            self._seat.touch()
            self._residency.changed()

    @asynccontextmanager
    async def visit(self, ledger: Ledger, until: float) -> AsyncIterator[Visit]:
        """Take a place in the lane for the block, and load the model, both at most until loop time `until`.

        The place is freed with the block, or later if the block calls `Visit.outlast`. Raises Busy, DeadlineExceeded,
        or the errors of `start`.
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

    async def unload(self, *, until: float | None = None, force: bool = False, why: str = "by command") -> None:
        """End the worker; see `Residency.unload`."""
        await self._residency.unload(self._seat, why, until=until, force=force)

    async def voices(self) -> tuple[Voice, ...]:
        """The presets of the model; starts it if it has never been up."""
        return (self.loaded or await self.start()).voices

    async def lull(self, patience: float) -> None:
        """Wait for a lull in the lane; see `Lane.lull`."""
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
        """The model's share of its device."""
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
        """The last decisions about the model, oldest first."""
        return self._residency.decisions.of(self.name)


def default_preset(loaded: Loaded | None) -> str:
    """The id of the preset that speaks by default: the one so marked, else the first; "" if there is none."""
    voices = loaded.voices if loaded else ()
    marked = [voice.id for voice in voices if voice.default]
    return next(iter(marked or [voice.id for voice in voices]), "")
