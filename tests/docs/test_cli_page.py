"""docs/cli.md: it has every command and every option, and its examples run."""

import re

import pytest

from hub.builtin.wyoming.commands import wyoming
from hub.cli.app import cli
from hub.cli.failure import EXIT_CODES_HELP
from tests.support.pages import read, sections, tables

PAGE = read("docs/cli.md")
SECTIONS = sections(PAGE)
COMMANDS = {**cli.commands, "wyoming": wyoming}
"""The hub's own commands; a built-in plugin adds one of them."""

COMMON = {"--config", "--set", "--debug", "-h", "--help"}


def options_in(table):
    """Return the option names in a table's first column."""
    return {name for row in table[1:] for name in re.findall(r"`(--?[a-z-]+)", row[0])}


def test_every_command_has_its_section():
    assert [name for name in SECTIONS if name.startswith("ttshub ")] == [f"ttshub {name}" for name in COMMANDS]
    assert [row[0].split("`")[1] for row in tables(PAGE)[0][1:]] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_documented_options_are_those_of_the_command(name):
    real = {opt for param in COMMANDS[name].params if param.param_type_name == "option" for opt in param.opts}
    assert options_in(tables(SECTIONS[f"ttshub {name}"])[0]) == real - COMMON
    assert real >= COMMON - {"-h", "--help"}


def test_the_common_options_are_those_that_every_command_has():
    assert options_in(tables(PAGE)[1]) == COMMON
    assert cli.context_settings["help_option_names"] == ["-h", "--help"]


def test_the_exit_codes_are_those_of_the_help():
    documented = {code: " ".join(meaning.split()) for code, meaning in tables(SECTIONS["Exit codes"])[0][1:]}
    assert documented == dict(re.findall(r"^  (\d+) +(.+)$", EXIT_CODES_HELP, flags=re.M))


def test_the_examples_run(shell):
    assert shell.follow("docs/cli.md") >= 15
