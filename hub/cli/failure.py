"""Failures of commands: a block on stderr, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import click

from hub.contract.errors import HubError
from hub.settings import SettingsError

OK, FAILED, USAGE, CONFIGURATION, UNREACHABLE, BACKEND, INTERRUPTED, READER_LEFT = 0, 1, 2, 3, 4, 5, 130, 141

EXIT_CODES_HELP = """\b
Exit codes:
  0    done
  1    refused or failed, or `check` or `verify` found a problem
  2    wrong usage
  3    the configuration is invalid
  4    the server at --url cannot be reached
  5    a backend or its model failed
  130  interrupted (Ctrl-C)
  141  the output was closed early (a broken pipe)
"""


class Failed(Exception):
    """A command failed. `code` names the kind of error, `hint` says what to do."""

    exit_code = FAILED

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Unreachable(Failed):
    """No hub answers at the URL."""

    exit_code = UNREACHABLE


def show(error: BaseException, *, debug: bool) -> int:
    """Show `error` to the user; return the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader is gone: say nothing, and keep the interpreter from failing again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return READER_LEFT
    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, SettingsError):
        return _block("settings", error.problems, "`ttshub check` checks the whole configuration", CONFIGURATION)
    if isinstance(error, Failed):
        return _block(error.code, (error.message,), error.hint, error.exit_code)
    if isinstance(error, HubError):
        failed = error.status >= 500
        hint = "" if debug or not failed else "--debug shows the log of the hub and its workers"
        return _block(error.code, (error.message,), hint, BACKEND if failed else FAILED)
    hint = "this is a bug; --debug shows where" if not debug else "this is a bug"
    return _block("internal_error", (f"{type(error).__name__}: {error}",), hint, FAILED)


def _block(code: str, lines: tuple[str, ...], hint: str, exit_code: int) -> int:
    click.echo("\n".join((click.style(f"error: {code}", fg="red"), *(f"  {line}" for line in lines))), err=True)
    if hint:
        click.echo(f"  ({hint})", err=True)
    return exit_code
