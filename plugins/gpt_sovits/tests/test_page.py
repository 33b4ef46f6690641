"""docs/compat/gpt_sovits.md and the READMEs: their lists match the code, and their examples run."""

import re
import tomllib

import msgspec
from hub_gpt_sovits.options import CompatOptions
from hub_gpt_sovits.releases import CHECKPOINTS
from hub_gpt_sovits.routes import make_routes
from hub_gpt_sovits.routes.requests import Spoken

from hub.api.mount import endpoints
from hub.service.hub import Hub
from hub.settings import Settings
from plugins.gpt_sovits.tests.support import tiny as gpt_sovits_tiny
from tests.support.pages import Shell, blocks, prose, read, sections, tables

PAGE = read("docs/compat/gpt_sovits.md")
SECTIONS = sections(PAGE)


def names(table):
    """The names in backticks in the first column."""
    return [name for row in table[1:] for name in re.findall(r"`([^`]+)`", row[0])]


def test_every_route_is_listed(tmp_path):
    hub = Hub.build(Settings(data=str(tmp_path)))
    there = {(method, path) for method, path in endpoints(make_routes(hub)) if method != "OPTIONS"}
    listed = {tuple(name.split(" ", 1)) for name in names(tables(SECTIONS["Routes"])[0])}
    bare = {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path in listed}
    assert {(method, path.rstrip("/") or "/") for method, path in bare} == {
        (method, path.rstrip("/") or "/") for method, path in there
    }


def test_every_parameter_is_listed():
    assert set(names(tables(SECTIONS["Speech"])[0])) == set(Spoken.__struct_fields__)


def test_every_setting_is_listed():
    assert names(tables(SECTIONS["Serving it"])[0]) == list(CompatOptions.__struct_fields__)
    (toml,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    settings = msgspec.convert(tomllib.loads(toml), Settings)
    msgspec.convert(settings.compat["gpt_sovits"].options, CompatOptions)


def test_the_readmes_are_in_step():
    english, chinese = (read(f"plugins/gpt_sovits/{name}") for name in ("README.md", "README.zh.md"))
    said = [[re.sub(r" +#.*", "", block.text) for block in blocks(text)] for text in (english, chinese)]
    assert said[0] == said[1]
    assert len(sections(english)) == len(sections(chinese))
    for text in (english, chinese):
        assert set(names(tables(prose(text))[0])) >= set(CHECKPOINTS)
        for block in blocks(text):
            if block.language == "toml":
                msgspec.convert(tomllib.loads(block.text), Settings)


def test_the_examples_run(tmp_path):
    (tmp_path / "release").mkdir()
    gpt_sovits_tiny.release(tmp_path / "release", "v2")
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "ann.wav").write_bytes(gpt_sovits_tiny.recording())
    shell = Shell(tmp_path, env={"XDG_DATA_HOME": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"})
    try:
        assert shell.follow("docs/compat/gpt_sovits.md") >= 14
    finally:
        shell.close()
