"""The id of a model's weights: it changes with any file that voices are prepared with, and with nothing else."""

import os

from hub.engine.weights import weights_id


def test_it_changes_with_a_file_of_any_depth(tmp_path):
    file = tmp_path / "codec" / "deep" / "weights"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"one")
    before = weights_id([tmp_path])
    assert weights_id([str(tmp_path)]) == before
    os.utime(file, ns=(1, 1))
    touched = weights_id([tmp_path])
    file.write_bytes(b"other")
    os.utime(file, ns=(1, 1))
    assert len({before, touched, weights_id([tmp_path])}) == 3


def test_it_follows_links_and_ends_where_they_go_in_a_circle(tmp_path):
    codec = tmp_path / "elsewhere" / "codec"
    codec.mkdir(parents=True)
    (codec / "weights").write_bytes(b"one")
    model = tmp_path / "model"
    model.mkdir()
    (model / "codec").symlink_to(codec)
    (model / "itself").symlink_to(model)
    (codec / "back").symlink_to(model)
    (model / "broken").symlink_to(tmp_path / "nowhere")
    (model / "a").symlink_to(model / "b")
    (model / "b").symlink_to(model / "a")
    before = weights_id([model])
    (codec / "weights").write_bytes(b"other")
    assert weights_id([model]) != before


def test_a_name_counts_and_an_empty_path_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert weights_id(["org/one"]) != weights_id(["org/other"])
    empty = weights_id([""])
    (tmp_path / "a file").write_bytes(b"in the working folder")
    assert weights_id([""]) == empty == weights_id([])
