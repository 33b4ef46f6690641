"""docs/compat/fish_speech.md and the READMEs: the tables are complete, and the examples run."""

import doctest
import re
import shlex
import tomllib

import msgspec
from click.testing import CliRunner
from hub_fish_speech.commands import fish
from hub_fish_speech.options import CompatOptions, FishLoadOptions, FishOptions
from hub_fish_speech.releases import CHECKPOINTS
from hub_fish_speech.routes import make_routes
from hub_fish_speech.routes.shapes import TTSBody

from hub.api.mount import endpoints
from hub.cli.app import HubGroup
from hub.cli.session import Session
from hub.service.hub import Hub
from hub.settings import Settings
from plugins.fish_speech.tests.support import served
from tests.support.pages import Shell, blocks, commands, prose, read, sections, tables

PAGE = read("docs/compat/fish_speech.md")
SECTIONS = sections(PAGE)


def names(table):
    """The words in backticks in the first column."""
    return [name for row in table[1:] for name in re.findall(r"`([^`]+)`", row[0])]


def test_every_route_is_listed():
    there = {(method, path) for method, path in endpoints(make_routes(Hub.build(Settings()))) if method != "OPTIONS"}
    listed = [tuple(name.split(" ", 1)) for name in names(tables(SECTIONS["Routes"])[0])]
    assert {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path in listed} == there
    assert len(listed) == len(there)


def test_every_field_is_listed():
    assert set(names(tables(SECTIONS["Speech"])[0])) == set(TTSBody.__struct_fields__) - {"latency"}


def test_every_compat_option_is_listed():
    assert names(tables(SECTIONS["Serving it"])[0]) == list(CompatOptions.__struct_fields__)
    (toml,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    settings = msgspec.convert(tomllib.loads(toml), Settings)
    msgspec.convert(settings.compat["fish_speech"].options, CompatOptions)


def test_the_readmes_are_in_step():
    english, chinese = (read(f"plugins/fish_speech/{name}") for name in ("README.md", "README.zh.md"))
    assert [block.text for block in blocks(english)] == [block.text for block in blocks(chinese)]
    assert len(sections(english)) == len(sections(chinese))
    for text in (english, chinese):
        checkpoints, request, load = (names(table) for table in tables(prose(text)))
        assert [name for name in checkpoints if name in CHECKPOINTS] == list(CHECKPOINTS)
        assert set(request) == set(FishOptions.__struct_fields__)
        assert set(load) - {"[models.NAME.options]"} == set(FishLoadOptions.__struct_fields__)
        for block in blocks(text):
            if block.language == "toml":
                msgspec.convert(tomllib.loads(block.text), Settings)


def test_the_three_steps_run(tmp_path, monkeypatch, fish_checkpoint, recording):
    """The page's commands run in this process, which has imported torch already."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "openaudio-s1-mini").symlink_to(fish_checkpoint)
    (tmp_path / "hello.wav").write_bytes(recording)
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in blocks(SECTIONS["Commands"]) if block.language == "console"]
    steps = commands(block)
    for step in steps:
        words = shlex.split(step.text.replace("\\\n", " "))
        done = CliRunner().invoke(HubGroup(commands={"fish": fish}), words[1:], obj=Session())
        assert done.exit_code == 0, done.output
        same = doctest.OutputChecker().check_output(step.prints, done.output, doctest.ELLIPSIS)
        assert same, f"{step.text}\n{done.output}"
    assert [step.text.split()[2] for step in steps] == ["encode", "semantic", "decode"]


def test_the_examples_run(tmp_path):
    served.make_checkpoint(tmp_path / "checkpoints" / "openaudio-s1-mini")
    shell = Shell(tmp_path, env={"XDG_DATA_HOME": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"})
    try:
        assert shell.follow("docs/compat/fish_speech.md") >= 15
    finally:
        shell.close()
