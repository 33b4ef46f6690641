"""Helpers for the routes of a family: find its model, and read `[compat.PLUGIN.options]`."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from hub.contract.errors import BackendUnavailable, UnknownModel
from hub.plugin.host import Host, HostModel

T = TypeVar("T", bound=Struct)


def options_of(hub: Host, plugin: str, kind: type[T]) -> T:
    """Return `[compat.PLUGIN.options]`, checked, as the `kind` that the plugin's `register_compat_options` returned."""
    options = hub.compat_options.get(plugin, kind())
    if not isinstance(options, kind):
        raise TypeError(f"register_compat_options of {plugin} returned {type(options).__name__}, not {kind.__name__}")
    return options


def model_of(hub: Host, backend: str, name: str = "") -> HostModel:
    """Return the backend's model `name`; without a name, the hub's default model if it is one of them, else the first.

    Raises UnknownModel if the backend has no model of this name, BackendUnavailable if it has no model at all.
    """
    models = [model for model in hub.models if model.spec.name == backend]
    if not models:
        raise BackendUnavailable(
            f'this hub has no model of backend {backend!r}: add [models.NAME] with backend = "{backend}" and the path '
            "of a checkpoint to hub.toml",
            backend=backend,
        )
    if name:
        for model in models:
            if model.name == name:
                return model
        known = [model.name for model in models]
        raise UnknownModel(f"there is no model {name[:100]!r}; there are: {', '.join(known)}", models=known)
    return hub.models.default if hub.models.default in models else models[0]
