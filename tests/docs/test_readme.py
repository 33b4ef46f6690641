"""The README: its set-up lines come first, its tour works, its translation matches."""

import re

from tests.support.pages import ROOT, blocks, read, sections

SET_UP = [
    'pip install -e . && ttshub say "Hello from the hub." --out hello.wav',
    "pip install -r requirements-dev.txt && pytest",
]


def test_the_set_up_commands_come_first():
    for name in ("README.md", "README.zh.md"):
        page = read(name)
        assert blocks(page)[0].text.splitlines() == SET_UP
        assert re.match(r"# tts-hub\n\n```", page)


def test_the_continuous_check_runs_the_set_up_commands():
    script = (ROOT / ".ci" / "run").read_text().replace(" -q", "")
    assert all(line in script for line in SET_UP)


def test_the_tour_works(shell):
    assert shell.follow("README.md") >= 5


def test_the_translation_has_the_same_code_and_the_same_parts():
    here, there = read("README.md"), read("README.zh.md")
    assert [block.text for block in blocks(here)] == [block.text for block in blocks(there)]
    assert len(sections(here)) == len(sections(there))
    links = re.compile(r"\]\((?!README)([^)]+)\)")
    assert links.findall(here) == links.findall(there)
