"""Both READMEs are in step with each other and with the code."""

import re
from pathlib import Path

import msgspec
import pytest
from hub_cosyvoice.capabilities import LANGUAGES
from hub_cosyvoice.modes import MODES
from hub_cosyvoice.options import CosyVoiceLoadOptions
from hub_cosyvoice.releases import CHECKPOINTS

FOLDER = Path(__file__).parents[1]
PAGES = [FOLDER / "README.md", FOLDER / "README.zh.md"]


def tables(page):
    """The rows of each table, without its head."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", page.read_text(), re.M):
        rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        found.append(rows[2:])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_the_codes(page):
    checkpoints, options, modes = tables(page)
    assert [row[0].strip("`") for row in checkpoints] == list(CHECKPOINTS)
    assert [row[4] for row in checkpoints] == [f"{one.size / 1e9:.1f} GB" for one in CHECKPOINTS.values()]
    assert [row[3] for row in checkpoints] == [" ".join(LANGUAGES[generation]) for generation in (3, 2, 1, 1, 1)]
    fields = msgspec.structs.fields(CosyVoiceLoadOptions)
    assert {row[0].strip("`"): row[1].strip("`") for row in options} == {
        field.encode_name: f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        for field in fields
    }
    assert {re.match(r"`(\w+)`", row[0])[1] for row in modes} == {mode for known in MODES.values() for mode in known}


def test_both_say_the_same_in_the_same_order():
    english, chinese = (page.read_text() for page in PAGES)
    for pattern in (r"^#+ ", r"^- ", r"```\w+\n(?:.*\n)*?```"):
        assert len(re.findall(pattern, english, re.M)) == len(re.findall(pattern, chinese, re.M)), pattern
    names = [re.findall(r"`[\w./\[\]<>|= \"-]+`", text) for text in (english, chinese)]
    assert set(names[0]) == set(names[1])
