"""Hub: all services behind the routes, built once from settings and plugins."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from hub.audio.encode import BUILTIN, EncoderSpec
from hub.audio.telephone import TELEPHONE
from hub.audio.vorbis import VORBIS
from hub.contract.conversion import ConversionRequest
from hub.contract.errors import HubError
from hub.contract.observer import Observer, SpeechReport
from hub.contract.scene import Scene
from hub.contract.speaking import Speaking
from hub.contract.speech import ResolvedRequest, SpeechRequest
from hub.contract.tokens import Encoded, Tokens
from hub.contract.voice import StoredVoice, VoiceUpload, VoiceView
from hub.plugin.manager import Plugins
from hub.plugin.tasks import TaskKind
from hub.service.disk.folder import data_folder
from hub.service.library.catalog import catalog, model_for
from hub.service.library.dictionaries import DictionaryStore
from hub.service.library.preparing import Preparing
from hub.service.library.scenes import SceneStore, check_scene
from hub.service.library.upload import keep_voice
from hub.service.library.voices import VoiceLibrary
from hub.service.models.model import Model
from hub.service.models.models import Models
from hub.service.speech.answer import Speech
from hub.service.speech.codec import Decoded, decode, encode
from hub.service.speech.convert import convert
from hub.service.speech.desk import Desk
from hub.service.speech.live import speak_live
from hub.service.speech.speak import speak
from hub.service.speech.vet import vet_early
from hub.service.tasks.speech_kind import SpeechTasks
from hub.service.tasks.store import check_url
from hub.service.tasks.tasks import Tasks
from hub.settings import Settings, SettingsError
from hub.settings_check import convert_table
from hub.text.live_text import LiveText

log = logging.getLogger("hub")


class Hub:
    """The services that routes, commands and plugins use. Call all methods in one event loop."""

    def __init__(self, settings: Settings, plugins: Plugins) -> None:
        self.settings = settings
        self.plugins = plugins
        self.data_folder = data_folder(settings)
        self.compat_options = _check_compat(settings, plugins)
        """Plugin -> `[compat.PLUGIN.options]`, for each plugin that has any."""
        self.observers: list[Observer] = plugins.observers()
        self.text_filters = plugins.text_filters()
        self.encoders = _encoders(plugins)
        self.models = Models.build(settings, plugins, self.worker_crashed)
        self.voices = VoiceLibrary.build(settings)
        self.preparing = Preparing.build(settings, self.voices, plugins)
        self.scenes = SceneStore.build(settings, _scenes(plugins))
        self.dictionaries = DictionaryStore.build(settings)
        self.desk = self._desk()
        self.tasks = Tasks(
            self,
            _task_kinds(plugins, settings, self.desk),
            settings.tasks,
            folder=self.data_folder / "tasks",
            database=check_url(settings.database),
        )
        self._starts: set[asyncio.Task[None]] = set()

    def _desk(self) -> Desk:
        return Desk(
            models=self.models,
            voices=self.voices,
            preparing=self.preparing,
            scenes=self.scenes,
            dictionaries=self.dictionaries,
            text_filters=self.text_filters,
            encoders=self.encoders,
            limits=self.settings.limits,
            worker=self.settings.worker,
            report=self.speech_ended,
        )

    @classmethod
    def build(cls, settings: Settings, plugins: Plugins | None = None) -> Hub:
        """Build a hub without starting it. Raises SettingsError for settings that contradict the plugins."""
        if plugins is None:
            plugins = Plugins.discover(settings.plugins.disabled, settings=settings)
        return cls(settings, plugins)

    async def start(self) -> None:
        """Start loading the models marked `preload`, without waiting for them; their requests wait."""
        try:
            await asyncio.to_thread(self.voices.recover)
            await asyncio.to_thread(self.preparing.recover)
        except HubError as error:
            log.error("%s", error.message)
        for model in self.models:
            if model.settings.preload:
                task = asyncio.create_task(self._preload(model), name=f"preload {model.name}")
                self._starts.add(task)
                task.add_done_callback(self._starts.discard)
        await self.tasks.start()

    async def _preload(self, model: Model) -> None:
        try:
            await model.start(why="preload", evict=False)
        except HubError as error:
            log.error("model %s was not preloaded: %s", model.name, error.message)

    async def stop(self) -> None:
        """End every worker. Streams under way end with a fault; tasks resume at the next start."""
        await self.tasks.stop()
        for task in list(self._starts):
            task.cancel()
        await self.models.residency.close()

    @property
    def ready(self) -> bool:
        """True if every model marked `preload` is up, or was unloaded on purpose."""
        return not any(model.missed for model in self.models)

    async def vet(self, request: SpeechRequest) -> ResolvedRequest:
        """Check a request as far as possible now; see `Host.vet`. Raises HubError."""
        return (await vet_early(self.desk, request)).request

    async def speak(self, request: SpeechRequest, *, request_id: str = "") -> Speech:
        """Speak; return as soon as the first audio has arrived and passed its checks. Raises HubError."""
        return await speak(self.desk, request, request_id=request_id)

    async def speak_live(
        self, request: SpeechRequest, text: LiveText, *, request_id: str = "", words: bool = False
    ) -> Speaking:
        """Speak `text` while it arrives; `request` has no text. Return with the first audio, as `speak` does.

        The answer has marks for sentences, and with `words` also for words. Raises HubError.
        """
        return await speak_live(self.desk, request, text, request_id=request_id, words=words)

    async def convert(self, request: ConversionRequest, *, request_id: str = "") -> Speech:
        """Say a recording again as another voice; return and raise as `speak` does."""
        return await convert(self.desk, request, request_id=request_id)

    async def encode(self, audio: bytes, *, model: str | None = None, request_id: str = "") -> Encoded:
        """Return the tokens of an uploaded recording, made by a model with a codec. Raises HubError."""
        return await encode(self.desk, audio, model=model, request_id=request_id)

    async def decode(self, tokens: Tokens, *, model: str | None = None, request_id: str = "") -> Decoded:
        """Return the audio of tokens, made by a model with a codec. Raises HubError."""
        return await decode(self.desk, tokens, model=model, request_id=request_id)

    async def all_voices(self) -> Sequence[VoiceView]:
        """Return presets and stored voices; see `hub.service.library.catalog`."""
        return (await asyncio.to_thread(catalog, self.models, self.voices)).voices

    async def model_for(self, voice: str, name: str | None = None) -> Model:
        """Return the model to speak with `voice`; see `Host.model_for`. Raises UnknownModel, UnknownVoice."""
        return await asyncio.to_thread(model_for, self.models, self.voices, voice, name)

    async def keep_voice(self, upload: VoiceUpload) -> StoredVoice:
        """Check, decode and store a new voice; see `hub.service.library.upload`. Raises HubError."""
        return await keep_voice(self.voices, self.models, self.settings.references, upload)

    def speech_ended(self, report: SpeechReport) -> None:
        """Notify the observers of an ended request."""
        self._notify(lambda observer: observer.speech_ended(report))

    def worker_crashed(self, model: str, reason: str) -> None:
        """Notify the observers of a crash."""
        self._notify(lambda observer: observer.worker_crashed(model, reason))

    def _notify(self, call: Callable[[Observer], None]) -> None:
        for observer in self.observers:
            try:
                call(observer)
            except Exception:
                log.exception("observer %s failed", type(observer).__name__)


def _encoders(plugins: Plugins) -> Mapping[str, EncoderSpec]:
    """Return the built-in and the plugins' containers; record a failure of the plugin if a name is taken."""
    encoders = {**BUILTIN, **TELEPHONE, VORBIS.name: VORBIS}
    for plugin, encoder in plugins.encoders():
        if encoder.name in encoders:
            plugins.fail(plugin, f"register_encoders: there is already a container named {encoder.name!r}")
        else:
            encoders[encoder.name] = encoder
    return encoders


def _check_compat(settings: Settings, plugins: Plugins) -> dict[str, Struct]:
    """Return the options of each plugin. Raises SettingsError for a `[compat.NAME]` whose plugin is not installed, a
    port that is already in use, and options that the plugin does not have.
    """
    kinds = plugins.compat_options()
    installed = [plugin.name for plugin in plugins.all]
    ports = {settings.server.port: "server.port"}
    for name, wanted in settings.compat.items():
        if name not in installed:
            raise SettingsError(f"compat.{name}: there is no plugin {name!r}; installed: {', '.join(installed)}")
        if wanted.port is not None and (other := ports.setdefault(wanted.port, f"compat.{name}.port")) != (
            f"compat.{name}.port"
        ):
            raise SettingsError(f"compat.{name}.port: {wanted.port} is already {other}; choose another")
        if wanted.options and name not in kinds:
            raise SettingsError(f"compat.{name}.options: plugin {name!r} has no options; remove them")
    return {name: _options(settings, name, kind) for name, kind in kinds.items()}


def _options(settings: Settings, plugin: str, kind: type[Struct]) -> Struct:
    wanted = settings.compat.get(plugin)
    return convert_table(wanted.options if wanted else {}, kind, ("compat", plugin, "options"))


def _scenes(plugins: Plugins) -> list[Scene]:
    """Return the plugins' scenes; record a failure of the plugin for an invalid one."""
    scenes: dict[str, Scene] = {}
    for plugin, scene in plugins.scenes():
        try:
            check_scene(scene)
        except HubError as error:
            plugins.fail(plugin, f"register_scenes: {scene.id!r}: {error.message}")
            continue
        if scenes.setdefault(scene.id, scene) is not scene:
            plugins.fail(plugin, f"register_scenes: there is already a scene {scene.id!r}")
    return list(scenes.values())


def _task_kinds(plugins: Plugins, settings: Settings, desk: Desk) -> Mapping[str, TaskKind]:
    """Return the kind `speech` and the plugins' kinds; record a failure of the plugin for an invalid name."""
    kinds: dict[str, TaskKind] = {"speech": SpeechTasks(desk, settings.tasks)}
    for plugin, kind in plugins.task_kinds(settings):
        if kind.name in kinds or not re.fullmatch(r"[a-z0-9-]+", kind.name):
            plugins.fail(
                plugin,
                f"register_task_kinds: the name {kind.name!r} is taken, or has other characters than a-z, 0-9, -",
            )
        else:
            kinds[kind.name] = kind
    return kinds
