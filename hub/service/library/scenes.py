"""SceneStore: the scenes that the hub stores, those in configured folders, and those of plugins."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hub.contract.errors import Conflict, HubError, InvalidRequest, UnknownScene, few
from hub.contract.scene import NOT_BY_DEFAULT, Scene
from hub.contract.speech import SpeechRequest
from hub.service.disk.documents import Documents
from hub.service.disk.folder import Damaged, data_folder, storing
from hub.service.disk.ids import check_id
from hub.settings import Settings

log = logging.getLogger("hub.scenes")

LONGEST_TEXT = 100_000
"""Characters of a scene's description."""

MOST_CAST = 100

TAKEN = "there is already a scene of this id"

_SUFFIXES = (".json", ".txt")


class SceneStore:
    """The files `scenes/<id>.json` in the data folder, or `<id>.txt` with a description alone, as in Higgs Audio.

    A stored scene comes before one of the same id in the settings' `scene_folders`, and that before one of a plugin.
    All methods read or write files: call them in a thread.
    """

    def __init__(self, folder: Path, others: Iterable[Path] = (), registered: Iterable[Scene] = ()) -> None:
        self._own = Documents(folder, "scene", _SUFFIXES)
        self._others = [Documents(other, "scene", _SUFFIXES) for other in others]
        self._registered = {scene.id: scene for scene in registered}

    @classmethod
    def build(cls, settings: Settings, registered: Iterable[Scene]) -> SceneStore:
        """The store below the settings' data folder. Touches no file."""
        return cls(data_folder(settings) / "scenes", map(Path, settings.scene_folders), registered)

    def list(self) -> Sequence[Scene]:
        """All scenes that can be used, sorted by id. Logs the damaged ones."""
        found = dict(self._registered)
        for documents in self._documents_last_first():
            for id, path in documents.paths().items():
                try:
                    found[id] = _scene(id, path, documents)
                except Damaged as damage:
                    found.pop(id, None)
                    log.warning("scene %s cannot be used: %s", id, damage)
                except FileNotFoundError:
                    continue
        return [found[id] for id in sorted(found)]

    def get(self, id: str) -> Scene:
        """The scene of this id. Raises UnknownScene, also for a damaged one, and says what is wrong with it."""
        id = unicodedata.normalize("NFC", id)
        for documents in (self._own, *self._others):
            if (path := documents.paths().get(id)) is not None:
                try:
                    return _scene(id, path, documents)
                except Damaged as damage:
                    raise UnknownScene(f"scene {id[:100]!r} cannot be used: {damage}") from None
                except FileNotFoundError:
                    continue
        if id in self._registered:
            return self._registered[id]
        known = [scene.id for scene in self.list()]
        raise UnknownScene(f"there is no scene {id[:100]!r}; there are: {few(known)}", scenes=known[:100])

    def put(self, scene: Scene) -> Scene:
        """Store a scene, replacing the one of its id. Raises InvalidRequest, StorageFailed."""
        scene = msgspec.structs.replace(scene, id=check_id(scene.id, "scene"))
        check_scene(scene)
        facts = {name: value for name, value in msgspec.to_builtins(scene).items() if name != "id"}
        self._own.write(scene.id, msgspec.json.format(msgspec.json.encode(facts)) + b"\n")
        return scene

    def delete(self, id: str) -> None:
        """Remove a stored scene. Raises UnknownScene, StorageFailed, and Conflict for one that the hub only reads."""
        id = unicodedata.normalize("NFC", id)
        if id not in self._own.paths():
            self.get(id)
            raise Conflict(
                f"scene {id[:100]!r} is not the hub's own: it is from a plugin, or a folder of `scene_folders`"
            )
        self._own.delete(id)

    def _documents_last_first(self) -> Iterator[Documents]:
        yield from reversed(self._others)
        yield self._own


def scenes_in(folder: Path) -> Iterator[tuple[str, Scene | str]]:
    """The scenes in `folder`, `*.json` and, as in Higgs Audio, `*.txt`: pairs of (file name, scene or error message).

    Raises InvalidRequest if there is no such folder, StorageFailed.
    """
    if not folder.is_dir():
        raise InvalidRequest("there is no such folder")
    documents = Documents(folder, "scene", _SUFFIXES)
    paths = documents.paths()
    with storing("the folder"):
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    for path in files:
        id = unicodedata.normalize("NFC", path.stem)
        try:
            check_id(id, "scene")
            yield path.name, _scene(id, path, documents) if paths.get(id) == path else TAKEN
        except InvalidRequest as error:
            yield path.name, error.message
        except Damaged as damage:
            yield path.name, str(damage)
        except FileNotFoundError:
            yield path.name, "it is not a file"


def check_scene(scene: Scene) -> None:
    """Raise InvalidRequest if the scene cannot be used."""
    if len(scene.text) > LONGEST_TEXT:
        raise InvalidRequest(f"the scene's text has {len(scene.text)} characters; the limit is {LONGEST_TEXT}")
    if len(scene.cast) > MOST_CAST:
        raise InvalidRequest(f"the scene's cast has {len(scene.cast)} speakers; the limit is {MOST_CAST}")
    for tag, voice in scene.cast.items():
        if not 0 < len(tag) <= 200 or not 0 < len(voice) <= 200:
            raise InvalidRequest(f"cast: {tag[:100]!r}: a speaker's tag and a voice id have 1 to 200 characters")
    allowed = [name for name in SpeechRequest.__struct_fields__ if name not in NOT_BY_DEFAULT]
    for name in scene.defaults:
        if name not in allowed:
            raise InvalidRequest(f"defaults: a scene cannot set {name[:100]!r}; it can set: {', '.join(allowed)}")
    try:
        msgspec.convert(scene.defaults, SpeechRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"defaults: {error}") from None


def _scene(id: str, path: Path, documents: Documents) -> Scene:
    """Read the scene at `path`. Raises Damaged, FileNotFoundError."""
    text = documents.read(path)
    if path.suffix.lower() == ".txt":
        scene = Scene(id=id, text=text.strip())
    else:
        try:
            facts: dict[str, Any] = msgspec.json.decode(text, type=dict)
            scene = msgspec.convert({**facts, "id": id}, Scene)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Damaged(str(error)) from None
    try:
        check_scene(scene)
    except HubError as error:
        raise Damaged(error.message) from None
    return scene
