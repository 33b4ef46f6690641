"""`ttshub check`: find problems before users do, and say what to fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hub.cli.failure import FAILED
from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options

if TYPE_CHECKING:
    from hub.cli.finding import Finding

LOOKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[red]problem[/]"}


@click.command()
@click.option("--load", is_flag=True, help="Also load each model and have it speak a sentence")
@json_option
@session_options
@click.pass_obj
def check(session: Session, load: bool, as_json: bool) -> None:
    """Find problems before users do.

    Checks the configuration, the plugins, the devices, the interpreters, the model
    paths and the address. Exits with code 1 if there is a problem.
    """
    findings = _findings(session, load)
    problems = sum(finding.state == "problem" for finding in findings)
    if as_json:
        echo_json({"problems": problems, "findings": findings})
    else:
        echo_table(
            ("what", "name", "state", "finding"),
            ((plain(one.what), plain(one.name), LOOKS[one.state], plain(one.finding)) for one in findings),
        )
        click.echo(f"\n{problems or 'no'} problem{'' if problems == 1 else 's'}")
    if problems:
        click.get_current_context().exit(FAILED)


def _findings(session: Session, load: bool) -> list[Finding]:
    from hub.cli import findings
    from hub.cli.finding import Finding
    from hub.settings import SettingsError

    try:
        settings = session.settings()
    except SettingsError as error:
        found = [Finding("settings", "", "problem", problem) for problem in error.problems]
        return [*found, *findings.of_plugins(session.plugins()), *findings.of_devices()]
    plugins = session.plugins(settings)
    found = [*findings.of_settings(session.config, settings), *findings.of_plugins(plugins)]
    found += findings.of_routes(settings, plugins)
    found += findings.of_devices()
    found += session.run(findings.of_models(settings, plugins))
    found += findings.of_server(settings)
    if load and not any(one.state == "problem" for one in found if one.what == "model"):
        found += session.run(findings.of_speech(settings, plugins))
    return found
