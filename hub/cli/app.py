"""The `ttshub` group: the hub's commands, the plugins' commands, and how errors end them."""

from __future__ import annotations

import logging
from typing import Any

import click

from hub.cli import failure
from hub.cli.backends import backends
from hub.cli.bench import bench
from hub.cli.book import book
from hub.cli.check import check
from hub.cli.convert import convert
from hub.cli.models import models
from hub.cli.plugins import plugins
from hub.cli.pull import pull
from hub.cli.say import say
from hub.cli.scenes import scenes
from hub.cli.serve import serve
from hub.cli.session import Session, session_options
from hub.cli.tasks import tasks
from hub.cli.verify import verify
from hub.cli.voices import voices
from hub.version import __version__


class HubGroup(click.Group):
    """A group to which plugins may add commands; an error is shown as one readable block and an exit code."""

    _closed = False  # True once the hub's own commands are added: all later ones come from plugins
    _asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the hub's commands in the order of first use, then the plugins' by name."""
        own = list(self.commands)
        self._ask_plugins(ctx)
        return own + sorted(set(self.commands) - set(own))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; ask the plugins only if the hub itself has none of this name."""
        if cmd_name not in self.commands:
            self._ask_plugins(ctx)
        return self.commands.get(cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command. A plugin cannot replace one: the ValueError is recorded as the plugin's failure."""
        name = name or cmd.name
        if self._closed and name in self.commands:
            raise ValueError(f"there is already a command {name!r}")
        super().add_command(cmd, name)

    def _ask_plugins(self, ctx: click.Context) -> None:
        if not self._asked:
            self._asked = self._closed = True
            ctx.ensure_object(Session).plugins().register_commands(self)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error ends it with the exit code for its kind."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:  # shown to the user; --debug adds the traceback
            ctx.exit(failure.show(error, debug=ctx.ensure_object(Session).debug))


@click.group(cls=HubGroup, epilog=failure.EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ttshub")
@session_options
def cli() -> None:
    """Text to speech: many model families behind one contract.

    Settings come from hub.toml (--config); TTSHUB_* variables override it, and flags override both.
    """


for command in (
    say,
    book,
    convert,
    serve,
    tasks,
    models,
    voices,
    scenes,
    backends,
    pull,
    plugins,
    check,
    bench,
    verify,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of `ttshub`."""
    logging.getLogger("hub").addHandler(logging.NullHandler())  # commands show errors themselves; `serve` logs
    cli(prog_name="ttshub", obj=Session())
