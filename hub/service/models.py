"""The configured models: each with its backend, its engine and its lane."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from hub.contract.backend import BackendSpec, Capabilities, ModelConfig
from hub.contract.errors import BackendUnavailable, DeadlineExceeded, UnknownModel
from hub.contract.voice import Voice
from hub.engine.base import Engine, EngineStatus, Loaded
from hub.engine.process import ProcessEngine
from hub.plugin.manager import Plugins
from hub.service.lanes import Lane
from hub.settings import ModelSettings, Settings, SettingsError

log = logging.getLogger("hub.models")

CrashListener = Callable[[str, str], None]


class ModelStatus(Struct, kw_only=True, frozen=True):
    """One model, for `/v1/backends` and `/v1/health`."""

    name: str
    backend: str
    state: str
    running: int
    waiting: int
    concurrency: int
    crashes: int
    default: bool = False


class Model:
    """A configured instance of a backend."""

    def __init__(self, name: str, spec: BackendSpec, settings: ModelSettings, engine: Engine) -> None:
        self.name = name
        self.spec = spec
        self.settings = settings
        self.engine = engine
        self.lane = Lane(name, queue=settings.queue, concurrency=1)

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

    async def start(self, until: float | None = None) -> Loaded:
        """Bring the model up, waiting at most until loop time `until`. Raises what `Engine.start` raises."""
        try:
            async with asyncio.timeout_at(until):
                loaded = await self.engine.start()
        except TimeoutError:
            raise DeadlineExceeded(
                f"model {self.name!r} is still loading; try again later, or raise its `deadline`", retry_after=5.0
            ) from None
        if self.lane.concurrency != loaded.concurrency:
            self.lane.concurrency = loaded.concurrency
        return loaded

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
        )


class Models:
    """All models of a hub, by name."""

    def __init__(self, models: dict[str, Model], missing: dict[str, str], default: str) -> None:
        self._models = models
        self.missing = missing  # model name -> its backend, which no working plugin brings
        self.default = models.get(default)

    @classmethod
    def build(cls, settings: Settings, plugins: Plugins, on_crash: CrashListener) -> Models:
        """Make the configured models, or with none configured, those that the backends bring by default.

        Raises SettingsError for a backend that nobody knows, or a `default_model` that is not there. A backend whose
        plugin is broken or disabled does not stop the hub: its models answer `backend_unavailable`.
        """
        configured = dict(settings.models) or _default_models(plugins)
        models: dict[str, Model] = {}
        missing: dict[str, str] = {}
        for name, model_settings in configured.items():
            spec = plugins.backends.get(model_settings.backend)
            if spec is not None:
                engine = _engine(name, spec, model_settings, settings, on_crash)
                models[name] = Model(name, spec, model_settings, engine)
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
        return cls(models, missing, settings.default_model or next(iter(models), ""))

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

    def status(self) -> list[ModelStatus]:
        """A snapshot of each model."""
        return [
            msgspec.structs.replace(model.status(), default=model is self.default) for model in self._models.values()
        ]


def _default_models(plugins: Plugins) -> dict[str, ModelSettings]:
    return {
        name: ModelSettings(backend=spec.name, **keywords)
        for spec in plugins.backends.values()
        for name, keywords in spec.default_models.items()
    }


def _engine(
    name: str, spec: BackendSpec, settings: ModelSettings, hub: Settings, on_crash: CrashListener
) -> ProcessEngine:
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
        on_crash=lambda reason: on_crash(name, reason),
    )
