"""`ttshub plugins`: what is installed, and what did not load."""

from __future__ import annotations

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options


@click.command()
@session_options
@json_option
@click.pass_obj
def plugins(session: Session, as_json: bool) -> None:
    """List the installed plugins, and what failed."""
    found = session.plugins(session.settings())
    if as_json:
        echo_json({"plugins": found.installed, "failures": found.failures})
        return
    failures: dict[str, list[str]] = {}
    for failure in found.failures:
        failures.setdefault(failure.plugin, []).append(failure.error)
    rows = []
    for info in found.installed:
        state = "[green]on[/]" if info.enabled else "[dim]disabled[/]"
        if info.name in failures:
            state = f"[red]failed[/]: {plain('; '.join(failures[info.name]))}"
        rows.append((plain(info.name), plain(f"{info.distribution} {info.version}"), ", ".join(info.backends), state))
    echo_table(("plugin", "distribution", "backends", "state"), rows)
