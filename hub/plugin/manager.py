"""Discovery of plugins, one at a time, so that a broken plugin is a line in a report and does not stop the hub.

This is the only module that uses pluggy's machinery. It works around three facts: hooks return results in the reverse
order of registration (so results are collected plugin by plugin, the hub's own parts first, then by name); pluggy
accepts a misspelt hook silently (so `check_pending` runs per plugin); one broken entry point makes
`load_setuptools_entrypoints` fail for all.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy
from msgspec import Struct
from msgspec.structs import fields, replace

from hub.contract.backend import CONTRACT, BackendSpec
from hub.contract.observer import Observer
from hub.contract.scene import Scene
from hub.plugin import spec as hookspecs
from hub.version import __version__

if TYPE_CHECKING:
    from hub.audio.encode import EncoderSpec
    from hub.plugin.filters import TextFilter
    from hub.plugin.host import Host
    from hub.plugin.spec import ModelCheck
    from hub.plugin.tasks import TaskKind
    from hub.settings import Settings

GROUP = "hub.plugins"

HUB = "tts-hub"
"""The distribution of the hub itself."""

_BUILT_IN = {name: f"hub.builtin.{name}" for name in ("openai", "elevenlabs", "wyoming")}
"""The hub's own plugins: found without an entry point and called first, in this order."""

log = logging.getLogger("hub.plugin")


class PluginFailure(Struct, kw_only=True, frozen=True):
    """The failure of a plugin or of one of its hooks."""

    plugin: str
    distribution: str
    error: str


class PluginNote(Struct, kw_only=True, frozen=True):
    """A remark about a plugin that works."""

    plugin: str
    note: str


class PluginInfo(Struct, kw_only=True, frozen=True):
    """An installed plugin."""

    name: str
    distribution: str
    version: str
    enabled: bool
    backends: tuple[str, ...] = ()


class Plugins:
    """The plugins of one hub: the objects they registered, and their failures."""

    def __init__(self) -> None:
        self.backends: dict[str, BackendSpec] = {}
        self.backend_plugins: dict[str, str] = {}  # backend name -> plugin name
        self.failures: list[PluginFailure] = []
        self.notes: list[PluginNote] = []
        self._infos: dict[str, PluginInfo] = {}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def discover(
        cls, disabled: Iterable[str] = (), extra: Iterable[Any] = (), settings: Settings | None = None
    ) -> Plugins:
        """Load the hub's own plugins, the installed ones that are not `disabled`, and `extra` objects.

        An entry of `extra` is a module or object with hookimpls, named after the last part of the module's name or
        after the object's class.
        """
        plugins = cls()
        off = set(disabled)
        for name, module in _BUILT_IN.items():
            load = partial(importlib.import_module, module)
            plugins._add(name, load, distribution=HUB, version=__version__, enabled=True)
        for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
            dist = point.dist
            plugins._add(
                point.name,
                point.load,
                distribution=dist.name if dist else "",
                version=dist.version if dist else "",
                enabled=point.name not in off,
            )
        for thing in extra:
            name = _name_of(thing)
            plugins._add(name, partial(_same, thing), distribution="", version="", enabled=name not in off)
        plugins._collect_backends(settings)
        return plugins

    @property
    def installed(self) -> list[PluginInfo]:
        """All installed plugins, including disabled ones, sorted by name; without the hub's own."""
        return [info for info in self.all if info.name not in _BUILT_IN]

    @property
    def all(self) -> list[PluginInfo]:
        """All plugins: the hub's own first, then by name."""
        return sorted(self._infos.values(), key=lambda info: _rank(info.name))

    def _add(self, name: str, load: Callable[[], Any], *, distribution: str, version: str, enabled: bool) -> None:
        if name in self._infos:
            self.fail(name, f"there is already a plugin named {name!r}", distribution)
            return
        self._infos[name] = PluginInfo(name=name, distribution=distribution, version=version, enabled=enabled)
        if not enabled:
            return
        try:
            self._manager.register(load(), name=name)
            self._manager.check_pending()
        except (Exception, SystemExit) as error:  # a failed import must not stop the other plugins
            log.exception("plugin %s did not load", name)
            self.fail(name, f"{type(error).__name__}: {error}", distribution)
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)

    def fail(self, plugin: str, error: str, distribution: str | None = None) -> None:
        """Record a failure of `plugin`."""
        if distribution is None:
            distribution = self._infos[plugin].distribution
        failure = PluginFailure(plugin=plugin, distribution=distribution, error=error)
        if failure not in self.failures:  # a second Hub with the same plugins meets the failure again
            self.failures.append(failure)

    def note(self, plugin: str, words: str) -> None:
        """Record a remark about correct behaviour that may surprise the operator."""
        note = PluginNote(plugin=plugin, note=words)
        if note not in self.notes:
            self.notes.append(note)

    def _each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Yield (plugin, result) of one hook, by plugin name; record and skip a plugin that raises."""
        for name, plugin in sorted(self._manager.list_name_plugin(), key=lambda pair: _rank(pair[0])):
            if plugin is None or not any(
                impl.plugin is plugin for impl in getattr(self._manager.hook, hook).get_hookimpls()
            ):
                continue
            others = [other for _, other in self._manager.list_name_plugin() if other is not plugin]
            try:
                results = self._manager.subset_hook_caller(hook, others)(**arguments)
            except Exception as error:
                log.exception("hook %s of plugin %s failed", hook, name)
                self.fail(name, f"{hook}: {type(error).__name__}: {error}")
                continue
            for result in results:
                yield name, result

    def _each_object(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Yield (plugin, object) for each object of a hook that returns lists, as `_each` does."""
        for name, result in self._each(hook, **arguments):
            if isinstance(result, list | tuple):
                yield from ((name, thing) for thing in result)
            else:
                self.fail(name, f"{hook} returned {type(result).__name__}, not a list")

    def _collect_backends(self, settings: Settings | None) -> None:
        for name, backend in self._each_object("register_backends", settings=settings):
            problem = _backend_problem(backend)
            if problem is None and backend.name in self.backends:
                problem = (
                    f"plugin {self.backend_plugins[backend.name]!r} has already registered backend {backend.name!r}"
                )
            if problem is not None:
                self.fail(name, problem)
                continue
            self.backends[backend.name] = backend
            self.backend_plugins[backend.name] = name
        for name, info in self._infos.items():
            owned = tuple(backend for backend, plugin in self.backend_plugins.items() if plugin == name)
            self._infos[name] = replace(info, backends=owned)

    def routes(self, hub: Host) -> list[tuple[str, list[Any]]]:
        """Return (plugin, its Litestar handlers) for each plugin with routes."""
        grouped: dict[str, list[Any]] = {}
        for name, handler in self._each_object("register_routes", hub=hub):
            grouped.setdefault(name, []).append(handler)
        return list(grouped.items())

    def compat_options(self) -> dict[str, type[Struct]]:
        """Return plugin -> the Struct of `[compat.PLUGIN.options]`, for each plugin with options."""
        kinds: dict[str, type[Struct]] = {}
        for name, kind in self._each("register_compat_options"):
            if not (isinstance(kind, type) and issubclass(kind, Struct)):
                self.fail(name, "register_compat_options: the result must be a msgspec Struct class")
            elif required := [field.name for field in fields(kind) if field.required]:
                self.fail(name, f"register_compat_options: {', '.join(required)} must have a default")
            else:
                kinds[name] = kind
        return kinds

    def checks(self) -> list[tuple[str, ModelCheck]]:
        """Return (plugin, check) for each check that plugins add to `ttshub check`."""
        return list(self._each_object("register_checks"))

    def encoders(self) -> list[tuple[str, EncoderSpec]]:
        """Return (plugin, container) for each container that a plugin adds."""
        return list(self._each_object("register_encoders"))

    def text_filters(self) -> list[TextFilter]:
        """Return the text filters in the order in which they run."""
        filters: list[TextFilter] = [text_filter for _, text_filter in self._each_object("register_text_filters")]
        return sorted(filters, key=lambda text_filter: text_filter.order)

    def scenes(self) -> list[tuple[str, Scene]]:
        """Return (plugin, scene) for each scene that comes with a plugin."""
        return list(self._each_object("register_scenes"))

    def task_kinds(self, settings: Settings) -> list[tuple[str, TaskKind]]:
        """Return (plugin, kind) for each kind of task that a plugin adds."""
        return list(self._each_object("register_task_kinds", settings=settings))

    def observers(self) -> list[Observer]:
        """Return all observers."""
        return [observer for _, observer in self._each_object("register_observers")]

    def register_commands(self, cli: Any) -> None:
        """Let the plugins add their commands to `cli`, a click group."""
        for _ in self._each("register_commands", cli=cli):
            pass

    def configure_app(self, config: Any) -> None:
        """Let the plugins change the AppConfig."""
        for _ in self._each("configure_app", config=config):
            pass


def _rank(name: str) -> tuple[int, str]:
    """Return the sort key of a plugin: the hub's own first, then by name."""
    own = list(_BUILT_IN)
    return (own.index(name) if name in own else len(own), name)


def _same(thing: Any) -> Any:
    return thing


def _name_of(thing: Any) -> str:
    if isinstance(thing, ModuleType):
        return thing.__name__.rpartition(".")[2]
    return type(thing).__name__.lower()


def _backend_problem(backend: Any) -> str | None:
    """Return the reason why `backend` cannot be used, or None."""
    if not isinstance(backend, BackendSpec):
        return f"register_backends returned {type(backend).__name__}, not BackendSpec"
    if backend.contract != CONTRACT:
        newer = "the hub" if backend.contract > CONTRACT else "the plugin"
        return f"backend {backend.name!r} needs contract {backend.contract}, this hub has {CONTRACT}: update {newer}"
    if not backend.name:
        return "a backend has no name"
    module, _, attribute = backend.synthesizer.partition(":")
    if not module or not attribute:
        return f"backend {backend.name!r}: synthesizer must be 'module:Class', not {backend.synthesizer!r}"
    return None
