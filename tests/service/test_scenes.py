"""Scenes and dictionaries: plain files, read whenever they are needed."""

import types

import pytest

from hub import hookimpl
from hub.contract import Scene, SpeechRequest
from hub.contract.errors import Conflict, InvalidRequest, NotFound, StorageFailed, UnknownScene
from hub.service.library.dictionaries import Dictionary, DictionaryStore
from hub.service.library.scenes import SceneStore, scenes_in


@pytest.fixture
def store(tmp_path):
    return SceneStore(tmp_path / "scenes")


def ids(store):
    return [scene.id for scene in store.list()]


def test_a_scene_is_kept_replaced_and_removed(store):
    scene = Scene(id="café", text="A café.", cast={"A": "anna"}, defaults={"speed": 1.5, "gap": 1.0})
    assert store.put(scene) == scene
    assert store.get("cafe\u0301") == scene
    assert store.put(Scene(id="café", text="Closed.")).text == store.get("café").text == "Closed."
    store.delete("café")
    assert ids(store) == []
    with pytest.raises(UnknownScene, match="there are: none"):
        store.get("café")
    with pytest.raises(UnknownScene):
        store.delete("café")


def test_a_text_that_is_dropped_in_is_a_scene_and_a_change_counts_at_once(store):
    assert ids(store) == []
    folder = store._own.folder
    folder.mkdir()
    path = folder / "quiet_indoor.txt"
    path.write_text("\ufeffAudio is recorded from a quiet room.\n")
    assert store.get("quiet_indoor") == Scene(id="quiet_indoor", text="Audio is recorded from a quiet room.")
    path.write_text("Audio is recorded from a kitchen.")
    assert store.get("quiet_indoor").text == "Audio is recorded from a kitchen."
    (folder / ".hidden.txt").write_text("no")
    (folder / "notes.md").write_text("no")
    (folder / "folder.txt").mkdir()
    assert ids(store) == ["quiet_indoor"]
    path.unlink()
    assert ids(store) == []


def test_what_is_stored_hides_a_text_of_the_same_id_and_both_are_removed(store):
    store.put(Scene(id="one", text="stored"))
    (store._own.folder / "one.txt").write_text("dropped in")
    assert store.get("one").text == "stored"
    store.delete("one")
    assert list(store._own.folder.glob("one.*")) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (b'{"texd": ""}', "texd"),
        (b'{"text": 5}', "str"),
        (b'{"defaults": {"turns": []}}', "cannot set 'turns'"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b'{"defaults": {"options": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_scene_says_what_is_wrong_and_hides_no_other(store, content, words):
    store.put(Scene(id="good"))
    (store._own.folder / "bad.json").write_bytes(content)
    assert ids(store) == ["good"]
    with pytest.raises(UnknownScene, match=words) as refusal:
        store.get("bad")
    assert str(store._own.folder) not in refusal.value.message


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (Scene(id="../up"), "cannot be a scene id"),
        (Scene(id=""), "1 to 255"),
        (Scene(id="a/b"), "cannot be"),
        (Scene(id=".."), "cannot be"),
        (Scene(id="x", text="a" * 100_001), "100000"),
        (Scene(id="x", cast={"": "anna"}), "1 to 200"),
        (Scene(id="x", cast={str(n): "a" for n in range(101)}), "101 speakers"),
        (Scene(id="x", defaults={"text": "hi"}), "cannot set 'text'"),
        (Scene(id="x", defaults={"sped": 2}), "it can set: model"),
        (Scene(id="x", defaults={"speed": 100}), "speed"),
    ],
)
def test_a_scene_that_cannot_be_used_is_not_kept(store, scene, words):
    with pytest.raises(InvalidRequest, match=words):
        store.put(scene)
    assert ids(store) == []


def test_other_folders_and_plugins_are_read_only_and_come_last(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "a.txt").write_text(f"from {folder.name}")
    (second / "b.txt").write_text("from second")
    store = SceneStore(tmp_path / "own", [first, second], [Scene(id="b", text="plugin"), Scene(id="c", text="plugin")])
    assert {scene.id: scene.text for scene in store.list()} == {"a": "from first", "b": "from second", "c": "plugin"}
    assert [store.get(id).text for id in "abc"] == ["from first", "from second", "plugin"]
    (second / "d.txt").write_text("just now")
    assert store.get("d").text == "just now"
    for id in "abcd":
        with pytest.raises(Conflict, match="not the hub's own"):
            store.delete(id)
    store.put(Scene(id="a", text="own"))
    assert store.get("a").text == "own"
    store.delete("a")
    assert store.get("a").text == "from first"


def test_the_scenes_of_a_folder_are_found_and_the_others_reported(tmp_path):
    folder = tmp_path / "scene_prompts"
    folder.mkdir()
    (folder / "quiet_indoor.txt").write_text("A quiet room.")
    (folder / "chat.json").write_text('{"cast": {"A": "anna"}}')
    (folder / "broken.txt").write_bytes(b"\xff\xfe")
    (folder / "bad:name.txt").write_text("x")
    (folder / "README.md").write_text("x")
    found = dict(scenes_in(folder))
    assert found.pop("chat.json").cast == {"A": "anna"}
    assert found.pop("quiet_indoor.txt").text == "A quiet room."
    assert found.keys() == {"broken.txt", "bad:name.txt"}
    assert all(isinstance(problem, str) and problem for problem in found.values())
    with pytest.raises(InvalidRequest, match="no such folder"):
        list(scenes_in(tmp_path / "absent"))


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="could not be stored"):
        SceneStore(tmp_path / "file" / "scenes").put(Scene(id="x"))


def test_dictionaries_are_kept_the_same_way(tmp_path):
    store = DictionaryStore(tmp_path / "dictionaries")
    assert list(store.list()) == []
    store.put(Dictionary(id="names", entries={"Nguyen": "win"}, description="of people"))
    assert store.get("names").entries == {"Nguyen": "win"}
    (tmp_path / "dictionaries" / "bad.json").write_text('{"entries": {"": "x"}}')
    assert [one.id for one in store.list()] == ["names"]
    with pytest.raises(NotFound, match="1 to 200"):
        store.get("bad")
    for bad in (Dictionary(id="x/y"), Dictionary(id="x", entries={"a": "[pause:1s]"})):
        with pytest.raises(InvalidRequest):
            store.put(bad)
    store.delete("bad")
    store.delete("names")
    with pytest.raises(NotFound, match="there are: none"):
        store.pronunciations(SpeechRequest(text="x", dictionary="names"))


@pytest.mark.anyio
async def test_plugins_bring_scenes(hubs):
    scenes = [Scene(id="stage", text="A stage."), Scene(id="bad", defaults={"text": "x"}), Scene(id="stage")]
    plugin = types.ModuleType("theatre")
    plugin.register_scenes = hookimpl(lambda: scenes)
    hub = await hubs(plugins=[plugin])
    assert hub.scenes.get("stage").text == "A stage."
    assert [failure.error.split(":")[1] for failure in hub.plugins.failures] == [
        " 'bad'",
        " there is already a scene 'stage'",
    ]
