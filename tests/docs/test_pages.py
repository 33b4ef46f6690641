"""All pages: each is listed, every link has a target, every file shown is valid."""

import ast
import json
import re
import tomllib

import pytest

from tests.support.pages import DOCS, ROOT, blocks, prose, read

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def links(name):
    """Yield (target file, anchor) of each link of a page that stays in this repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(read(name))):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield ((ROOT / name).parent / path if path else ROOT / name).resolve(), anchor


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_has_a_target(name):
    for target, anchor in links(name):
        assert target.exists(), f"{name} links to {target.relative_to(ROOT)}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name} links to {target.name}#{anchor}"


@pytest.mark.parametrize("name", PAGES)
def test_every_block_is_valid_in_its_language(name):
    for block in blocks(read(name)):
        if block.language == "python" and (block.title or not block.text.startswith("def ")):
            ast.parse(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)


def test_the_index_lists_every_page():
    listed = {target for target, _ in links("docs/index.md")}
    assert listed >= {path.resolve() for path in DOCS.glob("*.md")} - {(DOCS / "index.md").resolve()}
    assert listed >= {(ROOT / name).resolve() for name in PAGES if "/" not in name}


def test_the_index_of_decisions_is_complete_and_in_order():
    records = sorted(DOCS.glob("adr/[0-9]*.md"))
    rows = re.findall(r"^\| \[(\d+)\]\((.+?)\) \| (.+?) \|$", read("docs/adr/README.md"), flags=re.M)
    titles = [re.match(r"# (\d+): (.+)\n", path.read_text(encoding="utf-8")).groups() for path in records]
    assert rows == [(number, path.name, title) for path, (number, title) in zip(records, titles, strict=True)]


def test_every_decision_says_its_status():
    for path in DOCS.glob("adr/[0-9]*.md"):
        assert re.search(r"^\*\*Status:\*\* (proposed|accepted|superseded)", path.read_text(encoding="utf-8"), re.M), (
            path
        )
