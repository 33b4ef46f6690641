"""The configured models: each with its backend, its engine and its lane."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator

import msgspec

from hub.contract.backend import DEVICE, BackendSpec, ModelConfig
from hub.contract.errors import BackendUnavailable, UnknownModel
from hub.engine.process import ProcessEngine
from hub.plugin.manager import Plugins
from hub.service.disk.sizes import parse_size
from hub.service.models.memory import device_of
from hub.service.models.model import Model, ModelStatus
from hub.service.models.residency import Residency
from hub.settings import ModelSettings, Settings, SettingsError
from hub.settings_check import convert_table

log = logging.getLogger("hub.models")

CrashListener = Callable[[str, str], None]


class Models:
    """All models of a hub, by name."""

    def __init__(self, models: dict[str, Model], missing: dict[str, str], default: str, residency: Residency) -> None:
        self._models = models
        self.residency = residency
        self.missing = missing  # model name -> its backend, which no working plugin provides
        self.default = models.get(default)

    @classmethod
    def build(cls, settings: Settings, plugins: Plugins, on_crash: CrashListener) -> Models:
        """Make the configured models, or the backends' default models if none is configured.

        Raises SettingsError for an unknown backend, a `default_model` that is not configured, or an invalid value from
        a command or a plugin. A backend whose plugin is broken or disabled does not stop the hub: its models answer
        `backend_unavailable`.
        """
        configured = dict(settings.models) or default_models(plugins)
        _check_memory(settings)
        residency = Residency(settings.devices)
        models: dict[str, Model] = {}
        missing: dict[str, str] = {}
        for name, given in configured.items():
            model_settings = convert_table(msgspec.structs.asdict(given), ModelSettings, ("models", name))
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
        """The model of this name; None or "" is the default model. Raises UnknownModel, BackendUnavailable."""
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
        """The model of this name; without a name, the default model if it has the capability, else the first that does.

        Until its first load a model has the capabilities that its backend declares, and may turn out to have others, so
        a named model is not refused here. Raises as `get`.
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
    """The models of a hub whose settings name none."""
    return {
        name: ModelSettings(backend=spec.name, **keywords)
        for spec in plugins.backends.values()
        for name, keywords in spec.default_models.items()
    }


def _check_memory(settings: Settings) -> None:
    """Raise SettingsError for an impossible device, or for a model that can never be loaded."""
    for name in settings.devices:
        if not re.fullmatch(DEVICE, name):
            raise SettingsError(f'devices.{name}: a device is cpu, mps, cuda or "cuda:N", such as [devices."cuda:0"]')
    budgets = {device_of(name): one.memory for name, one in settings.devices.items() if one.memory is not None}
    for name, model in settings.models.items():
        budget = budgets.get(device_of(model.device))
        if model.memory is not None and budget is not None and parse_size(model.memory) > parse_size(budget):
            raise SettingsError(
                f"models.{name}.memory: {model.memory} is over the budget of {device_of(model.device)}, {budget}; "
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
