"""`ttshub models`: the configured models, or those of a running hub and how they are."""

from __future__ import annotations

from typing import Any

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options, url_options


@click.command()
@session_options
@url_options
@json_option
@click.pass_obj
def models(session: Session, url: str | None, api_key: str | None, as_json: bool) -> None:
    """List the models.

    The configured ones; with --url those of a running hub, and their state.
    """
    rows = _running(session, url, api_key) if url else _configured(session)
    if as_json:
        echo_json(rows)
        return
    columns = list(rows[0]) if rows else ["name"]
    echo_table(columns, ([_cell(row[column]) for column in columns] for row in rows))


def _configured(session: Session) -> list[dict[str, Any]]:
    from hub.service.hub import Hub

    settings = session.settings()
    found = Hub.build(settings, session.plugins(settings)).models
    rows = [
        {
            "name": model.name,
            "backend": model.spec.name,
            "default": model is found.default,
            "path": model.settings.path,
            "device": model.settings.device,
            "python": model.settings.python,
            "available": True,
        }
        for model in found
    ]
    missing = [
        {"name": name, "backend": backend, "default": False, "path": "", "device": "", "python": "", "available": False}
        for name, backend in found.missing.items()
    ]
    return rows + missing


def _running(session: Session, url: str, api_key: str | None) -> list[dict[str, Any]]:
    from hub.cli.remote import RemoteHub

    async def ask() -> Any:
        async with RemoteHub(url, api_key) as hub:
            return await hub.get("/v1/health")

    rows: list[dict[str, Any]] = session.run(ask())["models"]
    return rows


def _cell(value: Any) -> str:
    return ("[green]yes[/]" if value else "") if isinstance(value, bool) else plain(value)
