"""docs/voices.md: its commands run, its settings exist."""

import tomllib

from msgspec import convert

from hub.settings import ReferenceSettings
from hub.settings import Settings as HubSettings
from tests.support.pages import blocks, read


def test_the_commands_run(shell):
    assert shell.follow("docs/voices.md") >= 8


def test_the_settings_are_the_defaults_except_the_roots():
    folders, references = [block for block in blocks(read("docs/voices.md")) if block.language == "toml"]
    assert convert(tomllib.loads(folders.text), HubSettings).voice_folders == ("fish-speech/references",)
    shown = convert(tomllib.loads(references.text), HubSettings).references
    assert shown.roots == ("takes",)
    assert (shown.urls, shown.private_addresses, shown.url_timeout) == (
        ReferenceSettings().urls,
        ReferenceSettings().private_addresses,
        ReferenceSettings().url_timeout,
    )
