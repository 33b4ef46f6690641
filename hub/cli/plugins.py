"""`ttshub plugins`: list the installed plugins, and those that failed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options

if TYPE_CHECKING:
    from hub.plugin.manager import Plugins
    from hub.settings import Settings


@click.command()
@click.option("--all", "with_built_in", is_flag=True, help="Also list the hub's built-in plugins")
@session_options
@json_option
@click.pass_obj
def plugins(session: Session, with_built_in: bool, as_json: bool) -> None:
    """List the installed plugins, with their failures and notes."""
    settings = session.settings()
    found = session.plugins(settings)
    _try_routes(settings, found)
    if as_json:
        listed = found.all if with_built_in else found.installed
        echo_json({"plugins": listed, "failures": found.failures, "notes": found.notes})
        return
    failures: dict[str, list[str]] = {}
    for failure in found.failures:
        failures.setdefault(failure.plugin, []).append(failure.error)
    rows = []
    shown = {info.name for info in found.installed} | set(failures)
    for info in found.all:
        if info.name not in shown and not with_built_in:
            continue
        state = "[green]on[/]" if info.enabled else "[dim]disabled[/]"
        if info.name in failures:
            state = f"[red]failed[/]: {plain('; '.join(failures[info.name]))}"
        rows.append((plain(info.name), plain(f"{info.distribution} {info.version}"), ", ".join(info.backends), state))
    echo_table(("plugin", "distribution", "backends", "state"), rows)
    for note in found.notes:
        click.echo(f"note: {note.plugin}: {note.note}")


def _try_routes(settings: Settings, plugins: Plugins) -> None:
    """Register the plugins' routes, as a server does, so that `plugins` records failures and clashes."""
    from hub.api.app import create_app
    from hub.service.hub import Hub
    from hub.settings import SettingsError

    with suppress(SettingsError):  # an invalid model is for `ttshub check` to report
        create_app(Hub.build(settings, plugins))
