"""The voice library: folders made by the hub and by hand, damaged ones, and kills at any moment."""

import json
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import soundfile

from hub.contract import Capabilities, Reference
from hub.contract.errors import Conflict, InvalidAudio, InvalidRequest, StorageFailed, UnknownVoice
from hub.service.disk.ids import check_id
from hub.service.library.prepared import PreparedCache
from hub.service.library.voice_folder import Facts
from hub.service.library.voices import VoiceLibrary
from hub.settings import LimitSettings, Settings
from tests.support import ROOT


def sound(seconds=0.5, rate=16_000):
    return (0.5 * np.sin(np.arange(int(seconds * rate)) / 5)).astype(np.float32)


def drop(folder, name="take.wav", seconds=0.5, rate=16_000, **texts):
    """Put a recording into `folder` by hand, with transcripts by suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, sound(seconds, rate), rate)
    for suffix, text in texts.items():
        (folder / name).with_suffix(f".{suffix}").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def voices(tmp_path):
    return VoiceLibrary.build(
        Settings(data=str(tmp_path), limits=LimitSettings(reference_seconds=5, body_bytes=1 << 20))
    )


@pytest.fixture
def reference(tmp_path):
    soundfile.write(tmp_path / "r.wav", sound(), 16_000, subtype="FLOAT")
    return Reference(audio=(tmp_path / "r.wav").read_bytes(), text=" what  is\nsaid ")


def test_a_voice_that_was_kept_is_plain_files(voices, reference):
    facts = Facts(name="Anna", language="en", tags=("calm",), consent="Anna, in writing")
    voice = voices.create("anna", facts, (reference, Reference(audio=reference.audio)))
    assert sorted(os.listdir(voices.folder / "anna")) == ["00.txt", "00.wav", "01.wav", "voice.json"]
    assert (voices.folder / "anna/00.txt").read_text() == "what is said\n"
    assert json.loads((voices.folder / "anna/voice.json").read_text())["consent"] == "Anna, in writing"
    assert [(one.file, one.text, one.seconds, one.sample_rate) for one in voice.recordings] == [
        ("00.wav", "what is said", 0.5, 16_000),
        ("01.wav", None, 0.5, 16_000),
    ]
    assert voices.list() == [voice] == [voices.get("anna")]
    assert np.array_equal(soundfile.read(voices.folder / "anna/00.wav", dtype="float32")[0], sound())


def test_a_folder_dropped_in_by_hand_is_a_voice_and_changes_count_at_once(voices):
    folder = drop(voices.folder / "爺 さん", "b.flac", txt="second")
    drop(folder, "a.mp3", seconds=1.0, rate=24_000, lab="first\n")
    voice = voices.get("爺 さん")
    assert [(one.file, one.text, one.sample_rate) for one in voice.recordings] == [
        ("a.mp3", "first", 24_000),
        ("b.flac", "second", 16_000),
    ]
    assert (voice.name, voice.language) == ("爺 さん", None)
    (folder / "a.lab").write_text("changed")
    changed = voices.get("爺 さん")
    assert changed.recordings[0].text == "changed"
    (folder / "voice.json").write_text('{"language": "ja", "future": 1}')
    again = voices.get("爺 さん")
    assert again.language == "ja"
    assert len({voice.digest, changed.digest, again.digest}) == 3


def test_damaged_folders_are_reported_and_hide_no_other(voices, reference):
    voices.create("sound", Facts(), (reference,))
    (voices.folder / "empty").mkdir()
    drop(voices.folder / "too long", seconds=6)
    drop(voices.folder / "not audio")
    (voices.folder / "not audio/take.wav").write_bytes(b"hello")
    cut = drop(voices.folder / "cut") / "take.wav"
    cut.write_bytes(cut.read_bytes()[:-100])
    drop(voices.folder / "bad json").joinpath("voice.json").write_text("{")
    drop(voices.folder / "bad text").joinpath("take.txt").write_bytes(b"\xff\xfe\xfa")
    big = drop(voices.folder / "big") / "take.wav"
    big.write_bytes(big.read_bytes() + bytes(1 << 20))
    drop(voices.folder / "a:b")
    drop(voices.folder / ".hidden")
    (voices.folder / "a file").write_text("no folder")
    for number in range(17):
        drop(voices.folder / "many", f"{number}.wav", seconds=0.05)
    (drop(voices.folder / "strange") / "x.wav").mkdir()
    assert [voice.id for voice in voices.list()] == ["sound"]
    problems = {problem.id: problem.problem for problem in voices.problems()}
    assert set(problems) == {
        *("empty", "too long", "not audio", "cut", "bad json", "bad text", "big", "a:b", "many", "strange")
    }
    assert "no recording" in problems["empty"]
    assert "longer than 5 seconds" in problems["too long"]
    assert "cut off" in problems["cut"]
    assert "name" in problems["a:b"]
    with pytest.raises(UnknownVoice, match="damaged"):
        voices.get("cut")
    with pytest.raises(UnknownVoice, match="damaged"):
        voices.open("cut")
    voices.delete("cut")
    assert not voices.has("cut")


def test_ids_that_look_the_same_are_the_same(voices, reference):
    voices.create("Zoë", Facts(), (reference,))
    for twin in ("zoë", unicodedata.normalize("NFD", "Zoë"), "ＺＯË"):
        with pytest.raises(Conflict):
            voices.create(twin, Facts(), (reference,))
    assert voices.get(unicodedata.normalize("NFD", "Zoë")).id == "Zoë"
    with pytest.raises(UnknownVoice):
        voices.get("zoë")
    assert voices.update("Zoë", new_id="zoë").id == "zoë"
    drop(voices.folder / unicodedata.normalize("NFD", "Amélie"))
    assert voices.get("Amélie").id == "Amélie"


def test_folders_of_other_programs_are_read_and_left_alone(tmp_path, reference):
    drop(tmp_path / "references/bob", name="x.wav", lab="what Bob says")
    drop(tmp_path / "references/anna", lab="another Anna")
    settings = Settings(
        data=str(tmp_path / "data"), voice_folders=(str(tmp_path / "references"), str(tmp_path / "none"))
    )
    voices = VoiceLibrary.build(settings)
    voices.create("eva", Facts(), (reference,))
    drop(voices.folder / "anna", txt="this Anna")
    assert [voice.id for voice in voices.list()] == ["anna", "bob", "eva"]
    assert voices.get("anna").recordings[0].text == "this Anna"
    assert voices.open("bob").references[0].text == "what Bob says"
    for change in (
        lambda: voices.delete("bob"),
        lambda: voices.update("bob", new_id="bobby"),
        lambda: voices.update("eva", new_id="bob"),
        lambda: voices.create("Bob", Facts(), (reference,)),
    ):
        with pytest.raises(Conflict):
            change()
    assert sorted(os.listdir(tmp_path / "references/bob")) == ["x.lab", "x.wav"]
    voices.delete("anna")
    assert voices.get("anna").recordings[0].text == "another Anna"


@pytest.mark.parametrize("id", ["a", "3", "Ümit", "声優", "a b-c_d", "v1.5", "हिन्दी", "x" * 255, "字" * 85])
def test_ids_that_will_do(id):
    assert check_id(id) == unicodedata.normalize("NFC", id)


@pytest.mark.parametrize(
    "id",
    [
        *("", " ", ".", "..", ".a", "a.", " a", "a ", "a/b", "a\\b", "a\0", "a\n", "x" * 256, "字" * 86, "😀", "a:b"),
        *("NUL", "con.wav", "\ud800", "a\u200bb", "～", "／", "a\u2028b", "-\u202ea"),
    ],
)
def test_invalid_ids_are_refused(voices, reference, id):
    with pytest.raises(InvalidRequest, match="voice id"):
        voices.create(id, Facts(), (reference,))
    assert not voices.folder.exists()


def test_changes(voices, reference):
    before = voices.create("anna", Facts(language="en", description="d"), (reference,))
    after = voices.update("anna", new_id="annie", language=None, tags=("x",), texts={"00.wav": "else"})
    assert (after.id, after.language, after.tags, after.description) == ("annie", None, ("x",), "d")
    assert after.created == before.created < after.updated
    assert after.recordings[0].text == "else"
    with pytest.raises(UnknownVoice):
        voices.get("anna")
    for wrong in ({"texts": {"01.wav": "x"}}, {"texts": {"../x.wav": "x"}}, {"new_id": "../x"}):
        with pytest.raises(InvalidRequest):
            voices.update("annie", **wrong)
    with pytest.raises(InvalidAudio, match="transcript"):
        voices.update("annie", texts={"00.wav": "x" * 10_001})
    voices.create("other", Facts(), (reference,))
    with pytest.raises(Conflict):
        voices.update("other", new_id="Annie")


def test_a_transcript_of_a_hand_made_voice_is_changed_where_it_is(voices):
    folder = drop(voices.folder / "hand", lab="old")
    assert voices.update("hand", texts={"take.wav": "new"}).recordings[0].text == "new"
    assert (folder / "take.wav").exists()


def test_a_data_folder_that_cannot_be_used_is_a_clear_error(tmp_path, reference):
    (tmp_path / "file").write_text("in the way")
    voices = VoiceLibrary.build(Settings(data=str(tmp_path / "file")))
    with pytest.raises(StorageFailed, match="there is a file where a folder should be") as failure:
        voices.create("anna", Facts(), (reference,))
    assert str(tmp_path) not in failure.value.message
    with pytest.raises(StorageFailed):
        voices.list()


def test_which_models_can_use_a_voice(voices, reference):
    voice = voices.create("anna", Facts(language="en-GB"), (reference, Reference(audio=reference.audio)))
    fits = {
        "": Capabilities(cloning=True, languages=("en",), max_reference=1),
        "does not clone": Capabilities(),
        "01.wav has no transcript": Capabilities(cloning=True, needs_transcript=True),
        "too short": Capabilities(cloning=True, min_reference=1),
        "too long": Capabilities(cloning=True, max_reference=0.2),
        "wrong language": Capabilities(cloning=True, languages=("zh",)),
    }
    for words, can in fits.items():
        fit = voices.fit(voice, "m", can)
        assert fit.usable == (not words)
        assert words in fit.reason
    assert voices.fit(voice, "m", Capabilities(cloning=True, cross_lingual=True, languages=("zh",))).usable


def test_prepared_states_are_bounded_and_a_damaged_one_is_dropped(tmp_path):
    cache = PreparedCache(tmp_path / "cache", 1000)
    for name in "abc":
        cache.put(name, name.encode() * 300)
        os.utime(tmp_path / f"cache/{name}.prepared", (ord(name), ord(name)))
    assert cache.get("a") == b"a" * 300
    cache.put("d", b"d" * 300)  # b is now the least recently used
    assert [cache.get(name) is not None for name in "abcd"] == [True, False, True, True]
    cache.put("huge", bytes(2000))
    assert cache.get("huge") is None
    damaged = tmp_path / "cache/a.prepared"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"b")
    assert cache.get("a") is None
    assert not damaged.exists()
    (tmp_path / "cache/.new-1").write_bytes(b"half")
    PreparedCache(tmp_path / "cache", 400).sweep()
    assert [cache.get(name) is not None for name in "cd"] == [False, True]
    assert not (tmp_path / "cache/.new-1").exists()
    (tmp_path / "blocked").write_text("")
    PreparedCache(tmp_path / "blocked", 1000).put("a", b"a")  # costs time and nothing else


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("how", "least"), [(("points",), 50), (("times", "100"), 100)])
def test_a_kill_at_any_moment_leaves_whole_voices(tmp_path, how, least):
    script = ROOT / "tests/support/killed_voices.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, *how], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
