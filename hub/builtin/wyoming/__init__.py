"""`ttshub wyoming`, as a built-in plugin. The server itself is `hub.wyoming`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.plugin.spec import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Register `ttshub wyoming`."""
    from hub.builtin.wyoming.commands import wyoming

    cli.add_command(wyoming)
