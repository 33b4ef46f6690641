"""docs/compat/higgs_audio.md: its lists are complete, and its examples run."""

import re
import shutil
import tomllib

import msgspec
from hub_higgs_audio.options import CompatOptions
from hub_higgs_audio.routes import make_routes
from hub_higgs_audio.routes.chat import CreateChatCompletion
from hub_higgs_audio.routes.generate import Asked

from hub.api.mount import endpoints
from hub.service.hub import Hub
from hub.settings import Settings
from plugins.higgs_audio.tests.support.served import write_examples
from tests.support.pages import Shell, blocks, read, sections, tables

PAGE = read("docs/compat/higgs_audio.md")
SECTIONS = sections(PAGE)


def names(table):
    """The words in backticks in the first column."""
    return [name for row in table[1:] for name in re.findall(r"`([^`]+)`", row[0])]


def test_every_route_is_listed():
    there = {(method, path) for method, path in endpoints(make_routes(Hub.build(Settings()))) if method != "OPTIONS"}
    assert {tuple(name.split(" ", 1)) for name in names(tables(SECTIONS["Routes"])[0])} == there


def test_every_field_is_listed_with_its_default():
    rows = tables(SECTIONS["Speech"])[0][1:]
    listed = {row[0].strip("`"): row[1].strip("`") for row in rows}
    defaults = {field.name: field.default for field in msgspec.structs.fields(Asked)}
    assert listed == {
        name: "" if default is msgspec.NODEFAULT else msgspec.json.encode(default).decode()
        for name, default in defaults.items()
    }


def test_every_field_of_a_chat_is_listed():
    listed = [name for row in tables(SECTIONS["Chat"])[0][1:] for name in re.findall(r"`([^`]+)`", row[0])]
    assert listed == ordered(listed, CreateChatCompletion.__struct_fields__)


def ordered(listed, fields):
    """All of `fields`, those first that `listed` has, in its order."""
    return [name for name in listed if name in fields] + [name for name in fields if name not in listed]


def test_every_setting_is_listed():
    assert names(tables(SECTIONS["Serving it"])[0]) == list(CompatOptions.__struct_fields__)
    (toml,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    settings = msgspec.convert(tomllib.loads(toml), Settings)
    msgspec.convert(settings.compat["higgs_audio"].options, CompatOptions)


def test_the_examples_run(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "checkpoints" / "higgs-audio-v2-generation-3B-base")
    write_examples(tmp_path / "examples")
    shell = Shell(tmp_path, env={"XDG_DATA_HOME": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"})
    try:
        assert shell.follow("docs/compat/higgs_audio.md") >= 10
    finally:
        shell.close()
