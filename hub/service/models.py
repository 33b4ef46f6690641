"""The configured models: each with its backend, its engine and its lane."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from hub.contract.backend import BackendSpec, Capabilities, ModelConfig
from hub.contract.errors import BackendUnavailable, UnknownModel
from hub.contract.voice import Voice
from hub.engine.base import Engine, EngineStatus, Loaded
from hub.engine.process import ProcessEngine
from hub.plugin.manager import Plugins
from hub.service.decisions import Decision
from hub.service.lanes import Lane
from hub.service.memory import parse_size, place
from hub.service.residency import Residency
from hub.service.seat import NeedSource
from hub.settings import ModelSettings, Settings, SettingsError

log = logging.getLogger("hub.models")

CrashListener = Callable[[str, str], None]


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
        self._seat = residency.add(self)

    @property
    def capabilities(self) -> Capabilities:
        """Of the loaded checkpoint once it has been loaded, of the backend before."""
        return self.engine.loaded.capabilities if self.engine.loaded else self.spec.capabilities

    @property
    def default_voice(self) -> str:
        """The preset that speaks when a request names nobody: the one so marked, else the first; "" if none."""
        voices = self.engine.loaded.voices if self.engine.loaded else ()
        marked = [voice.id for voice in voices if voice.default]
        return next(iter(marked or [voice.id for voice in voices]), "")

    @property
    def missed(self) -> bool:
        """It is marked `preload` and is not up, and nobody decided so: not yet loaded, failed or crashed."""
        return self.settings.preload and not self._seat.rested and self.engine.status.state != "ready"

    async def start(self, until: float | None = None, *, why: str = "a request came", evict: bool = True) -> Loaded:
        """The model, loaded, waiting at most until loop time `until`; see `Residency.load`.

        It stays loaded while a request is in its lane. Who calls the engine without one, and does more than begin one
        stream or call at once, uses `hold`.
        """
        loaded = await self._residency.load(self, until, why, evict=evict)
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

    async def unload(self, *, until: float | None = None, force: bool = False, why: str = "somebody asked") -> None:
        """End the worker; see `Residency.unload`."""
        await self._residency.unload(self, why, until=until, force=force)

    async def voices(self) -> tuple[Voice, ...]:
        """The presets of the model; starts it if it has never been up."""
        return (self.engine.loaded or await self.start()).voices

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


class Models:
    """All models of a hub, by name."""

    def __init__(self, models: dict[str, Model], missing: dict[str, str], default: str, residency: Residency) -> None:
        self._models = models
        self.residency = residency
        self.missing = missing  # model name -> its backend, which no working plugin brings
        self.default = models.get(default)

    @classmethod
    def build(cls, settings: Settings, plugins: Plugins, on_crash: CrashListener) -> Models:
        """Make the configured models, or with none configured, those that the backends bring by default.

        Raises SettingsError for a backend that nobody knows, or a `default_model` that is not there. A backend whose
        plugin is broken or disabled does not stop the hub: its models answer `backend_unavailable`.
        """
        configured = dict(settings.models) or default_models(plugins)
        _check_memory(settings)
        residency = Residency(settings.devices)
        models: dict[str, Model] = {}
        missing: dict[str, str] = {}
        for name, model_settings in configured.items():
            spec = plugins.backends.get(model_settings.backend)
            if spec is not None:
                engine = _engine(name, spec, model_settings, settings, on_crash, residency)
                models[name] = Model(name, spec, model_settings, engine, residency)
            elif plugins.failures or settings.plugins.disabled:
                missing[name] = model_settings.backend
                log.error("model %s: its backend %s is not available", name, model_settings.backend)
            else:
                known = ", ".join(sorted(plugins.backends)) or "none"
                raise SettingsError(
                    f"models.{name}.backend: there is no backend {model_settings.backend!r}; installed: {known}"
                )
        if settings.default_model and settings.default_model not in configured:
            raise SettingsError(
                f"default_model: there is no model {settings.default_model!r}; configured: {', '.join(configured)}"
            )
        return cls(models, missing, settings.default_model or next(iter(models), ""), residency)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    def get(self, name: str | None) -> Model:
        """The model of this name; None or "" is the default model. Raises UnknownModel, naming those there are."""
        if not name:
            if self.default is None:
                raise UnknownModel("no model is configured; add a [models.NAME] table to hub.toml")
            return self.default
        if name in self._models:
            return self._models[name]
        if name in self.missing:
            raise BackendUnavailable(
                f"the backend {self.missing[name]!r} of model {name!r} is not available; see GET /v1/backends"
            )
        known = list(self._models)
        raise UnknownModel(f"there is no model {name[:100]!r}; there are: {', '.join(known) or 'none'}", models=known)

    def able(self, name: str | None, capability: str) -> Model:
        """The model of this name; without a name the default model if it has the capability, else the first that has.

        A model that is not loaded yet has what its backend declares, and may turn out to have more or less, so a named
        one is not refused here. Raises as `get`.
        """
        if not name and not (self.default and getattr(self.default.capabilities, capability)):
            name = next((model.name for model in self if getattr(model.capabilities, capability)), name)
        return self.get(name)

    def status(self) -> list[ModelStatus]:
        """A snapshot of each model."""
        return [
            msgspec.structs.replace(model.status(), default=model is self.default) for model in self._models.values()
        ]


def default_models(plugins: Plugins) -> dict[str, ModelSettings]:
    """What a hub has whose settings name no model."""
    return {
        name: ModelSettings(backend=spec.name, **keywords)
        for spec in plugins.backends.values()
        for name, keywords in spec.default_models.items()
    }


def _check_memory(settings: Settings) -> None:
    """Raises SettingsError for a device that there cannot be, or a model that can never be loaded."""
    for name in settings.devices:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
            raise SettingsError(f'devices.{name}: a device is cpu, mps, cuda or "cuda:N", such as [devices."cuda:0"]')
    budgets = {place(name): one.memory for name, one in settings.devices.items() if one.memory is not None}
    for name, model in settings.models.items():
        budget = budgets.get(place(model.device))
        if model.memory is not None and budget is not None and parse_size(model.memory) > parse_size(budget):
            raise SettingsError(
                f"models.{name}.memory: {model.memory} is over the budget of {place(model.device)}, {budget}; "
                "raise devices.NAME.memory, or put the model on another device"
            )


def _engine(
    name: str,
    spec: BackendSpec,
    settings: ModelSettings,
    hub: Settings,
    on_crash: CrashListener,
    residency: Residency,
) -> ProcessEngine:
    def crashed(reason: str) -> None:
        residency.crashed(name, reason)
        on_crash(name, reason)

    config = ModelConfig(
        name=name,
        backend=spec.name,
        path=settings.path,
        device=settings.device,
        dtype=settings.dtype,
        compile=settings.compile,
        options=settings.options,
    )
    return ProcessEngine(
        config,
        spec.synthesizer,
        settings=hub.worker,
        capabilities=spec.capabilities,
        python=settings.python,
        env=settings.env,
        concurrency=settings.concurrency,
        on_crash=crashed,
        on_change=residency.changed,
    )
