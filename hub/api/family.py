"""What the routes of a family ask of the hub: its model, and what `[compat.PLUGIN.options]` says."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from hub.contract.errors import BackendUnavailable, UnknownModel
from hub.plugin.host import Host, HostModel

T = TypeVar("T", bound=Struct)


def options_of(hub: Host, plugin: str, kind: type[T]) -> T:
    """`[compat.PLUGIN.options]`, checked, as the `kind` that the plugin's `register_compat_options` named."""
    options = hub.compat_options.get(plugin, kind())
    if not isinstance(options, kind):
        raise TypeError(f"register_compat_options of {plugin} names {type(options).__name__}, not {kind.__name__}")
    return options


def model_of(hub: Host, backend: str, name: str = "") -> HostModel:
    """The model `name` of this backend; without a name the hub's default model if it is of it, else its first.

    Raises UnknownModel for a name that none of its models has, BackendUnavailable if the hub has no model of it.
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
