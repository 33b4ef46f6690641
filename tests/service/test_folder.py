"""The data folder: its path, and files that are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from hub.contract.errors import StorageFailed
from hub.service.disk import folder
from hub.settings import Settings
from hub.settings_load import load_settings


def test_it_is_settings_data_else_below_the_data_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert folder.data_folder(Settings()) == tmp_path / "tts-hub"
    assert folder.data_folder(Settings(data="/srv/hub")) == Path("/srv/hub")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert folder.data_folder(Settings()) == Path.home() / ".local/share/tts-hub"


def test_a_relative_path_is_relative_to_the_settings_file(tmp_path):
    (tmp_path / "hub.toml").write_text('data = "kept"\n[references]\nroots = ["takes"]')
    settings = load_settings(tmp_path / "hub.toml", environ={})
    assert (settings.data, settings.references.roots) == (str(tmp_path / "kept"), (str(tmp_path / "takes"),))
    assert load_settings(tmp_path / "hub.toml", environ={"TTSHUB_DATA": "/elsewhere"}).data == "/elsewhere"


def test_files_and_folders_come_and_go_whole(tmp_path):
    folder.write_file(tmp_path / "a" / "b", b"one")
    folder.write_file(tmp_path / "a" / "b", b"two")
    assert (tmp_path / "a" / "b").read_bytes() == b"two"
    folder.write_folder(tmp_path / "c", {"x": b"1", "y": b"2"})
    with pytest.raises(FileExistsError):
        folder.write_folder(tmp_path / "c", {"x": b"3"})
    assert (tmp_path / "c" / "x").read_bytes() == b"1"
    folder.remove(tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["a"]


def test_leftovers_are_swept(tmp_path):
    (tmp_path / ".new-1").mkdir()
    (tmp_path / ".new-1" / "x").write_bytes(b"half")
    (tmp_path / ".old-2").write_bytes(b"gone")
    (tmp_path / "kept").mkdir()
    with folder.exclusive(tmp_path):
        folder.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".lock", "kept"]


def test_a_full_disk_leaves_the_old_state_and_says_so(tmp_path, monkeypatch):
    folder.write_file(tmp_path / "kept", b"old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/place")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed, match="disk is full") as failure, folder.storing("the note"):
        folder.write_file(tmp_path / "kept", b"new")
    assert "/secret" not in failure.value.message
    assert (tmp_path / "kept").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept"]
