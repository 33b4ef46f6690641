"""`ttshub check` notes the missing parts of the text front end until they are there."""

import pytest
from hub_gpt_sovits.checks import DICTIONARY, TABLES, text_notes
from hub_gpt_sovits.layout import Release
from hub_gpt_sovits.releases import CHECKPOINTS
from hub_gpt_sovits.text.ja import dictionary

from hub.settings import ModelSettings


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.setenv("OPEN_JTALK_DICT_DIR", str(tmp_path / DICTIONARY))
    return lambda: list(text_notes(ModelSettings(backend="gpt_sovits", path=str(tmp_path))))


def test_a_missing_part_is_noted_until_it_is_there(notes, tmp_path):
    assert [note.split(":")[0] for note in notes()] == [
        "without its own pronunciation tables",
        "without G2PWModel",
        "Japanese cannot be read before Open JTalk's dictionary is there",
    ]
    text = tmp_path / "GPT_SoVITS" / "text"
    (text / "G2PWModel").mkdir(parents=True)
    (tmp_path / DICTIONARY).mkdir()
    (tmp_path / DICTIONARY / "sys.dic").touch()
    for name in TABLES[1:]:
        (text / name).touch()
    assert [note.split(":")[0] for note in notes()] == ["without polyphonic.rep"]
    (text / "g2pw").mkdir()
    (text / "g2pw" / TABLES[0]).touch()
    assert notes() == []


def test_the_files_that_a_pull_unpacks_are_found(tmp_path, monkeypatch):
    """`ttshub pull` puts both into `pretrained_models`."""
    monkeypatch.delenv("OPEN_JTALK_DICT_DIR", raising=False)
    pulled = tmp_path / "pretrained_models"
    assert "pretrained_models" in CHECKPOINTS["v2"].parts
    (pulled / "G2PWModel").mkdir(parents=True)
    (pulled / DICTIONARY).mkdir()
    (pulled / DICTIONARY / "sys.dic").touch()
    release = Release.at(tmp_path)
    assert (release.g2pw, release.open_jtalk) == (pulled / "G2PWModel", pulled / DICTIONARY)
    assert dictionary(None, release.open_jtalk) == release.open_jtalk
    assert len(list(text_notes(ModelSettings(backend="gpt_sovits", path=str(tmp_path))))) == 1, "only the tables"


def test_a_language_without_its_package_names_the_extra(notes, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [note.split("'")[1] for note in notes() if "cannot be read" in note] == [
        "tts-hub-gpt-sovits[ja]",
        "tts-hub-gpt-sovits[ko]",
        "tts-hub-gpt-sovits[yue]",
    ]
