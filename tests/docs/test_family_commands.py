"""The commands that families add to `ttshub`: each is on docs/compat/<plugin>.md, under its own heading.

The heading is `### ttshub fish serve`, for example; the first column of the table below it lists exactly the options.
"""

import importlib.metadata
import re

import click
import pytest

from tests.support.pages import ROOT, tables

GROUP = "hub.plugins"
COMMON = {"--config", "--set", "--debug", "-h", "--help"}
POINTS = {point.name: point for point in importlib.metadata.entry_points(group=GROUP) if point.name != "hibari"}


def leaves(command, path):
    """Yield (words, command) of each command that is not a group."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from leaves(child, [*path, name])


def added_by(plugin):
    """Return the commands of a plugin, by their words."""
    group = click.Group()
    if (register := getattr(POINTS[plugin].load(), "register_commands", None)) is not None:
        register(cli=group)
    return {" ".join(path): command for path, command in leaves(group, ["ttshub"])}


@pytest.mark.with_families
@pytest.mark.parametrize("plugin", sorted(POINTS))
def test_every_command_of_a_family_is_on_its_page(plugin):
    page = ROOT / "docs" / "compat" / f"{plugin}.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    parts = re.split(r"^#{2,4} (.+)$", text, flags=re.M)
    sections = {heading.strip("`"): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    for words, command in added_by(plugin).items():
        assert words in sections, f"docs/compat/{plugin}.md has no heading {words!r}"
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        real = {name for one in options for name in [*one.opts, *one.secondary_opts]} - COMMON
        found = tables(sections[words])
        rows = found[0][1:] if found else []
        documented = {name for row in rows for name in re.findall(r"`(--?[a-z][a-z_-]*)", row[0])}
        assert documented == real, f"docs/compat/{plugin}.md, {words}"
