"""docs/scenes-and-dialogue.md: its commands run, its numbers are those of the code."""

import types

from msgspec import convert

from hub.audio import join
from hub.contract.scene import NOT_BY_DEFAULT
from hub.plugin.manager import Plugins
from hub.service.library import dictionaries
from hub.service.speech import part, script
from hub.settings import Settings
from hub.text import pauses
from tests.support.pages import blocks, prose, read

PAGE = read("docs/scenes-and-dialogue.md")


def test_the_commands_run(shell):
    assert shell.follow("docs/scenes-and-dialogue.md") >= 10


def test_the_numbers_are_those_of_the_code():
    text = " ".join(prose(PAGE).split())
    assert f"default {script.GAP:g}." in text
    assert f"at most {join.MOST_GAIN:g} dB" in text
    assert f"faded over {1000 * join.FADE:g} ms" in text
    assert part.HEAD == 2.0
    assert "two seconds of it" in text
    assert f"may last {pauses.LONGEST:g} seconds" in text
    assert script.LONGEST_SILENCE == 3600
    assert f"at most {dictionaries.MOST_ENTRIES:,} words" in text
    assert all(f"`{name}`" in text for name in NOT_BY_DEFAULT)


def test_the_setting_and_the_plugin_are_right():
    import tomllib

    (toml,) = [block for block in blocks(PAGE) if block.language == "toml"]
    assert convert(tomllib.loads(toml.text), Settings).scene_folders
    (code,) = [block for block in blocks(PAGE) if block.title == "my_scenes.py"]
    plugin = types.ModuleType("my_scenes")
    exec(code.text, vars(plugin))
    plugins = Plugins.discover(extra=[plugin])
    assert [(name, scene.id) for name, scene in plugins.scenes()] == [("my_scenes", "stage")]
