"""`ttshub models`: list the configured models or those of a running hub; load, unload and explain a model."""

from __future__ import annotations

import time
from typing import Any

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options, url_options


@click.command()
@click.argument("name", required=False)
@click.option("--load", is_flag=True, help="Load the model NAME at the hub")
@click.option("--unload", is_flag=True, help="Unload it, once it has finished its requests")
@click.option("--force", is_flag=True, help="With --unload: do not wait for its requests")
@session_options
@url_options
@json_option
@click.pass_obj
def models(
    session: Session,
    name: str | None,
    load: bool,
    unload: bool,
    force: bool,
    url: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List the models, or show NAME.

    Lists the configured models; with --url those of a running hub, and their state.
    With NAME and --url it shows the model's memory, and why it was loaded or unloaded.
    """
    if (load or unload) and not (name and url):
        raise click.UsageError("--load and --unload need the NAME of a model and the --url of a hub")
    if (load and unload) or (force and not unload):
        raise click.UsageError("choose --load, --unload or --unload --force")
    if name and url:
        action = "load" if load else f"unload?force={str(force).lower()}" if unload else ""
        _show(session.run(_ask(url, api_key, name, action)), as_json)
        return
    rows = _running(session, url, api_key) if url else _configured(session)
    if name:
        rows = [row for row in rows if row["name"] == name]
        if not rows:
            raise click.UsageError(f"there is no model {name!r}; `ttshub models` lists them")
    if as_json:
        echo_json(rows)
        return
    columns = list(rows[0]) if rows else ["name"]
    echo_table(columns, ([_cell(column, row[column]) for column in columns] for row in rows))
    if not url and not name:
        _show_pulled(session, {row["path"] for row in rows})


def _show_pulled(session: Session, configured: set[str]) -> None:
    """List the checkpoints in the data folder that no model uses."""
    from hub.service.checkpoints.pull import pulled
    from hub.service.disk.folder import data_folder

    found = pulled(data_folder(session.settings()) / "models")
    rows = [(plain(backend), plain(one), plain(path)) for backend, one, path in found if str(path) not in configured]
    if rows:
        click.echo("\npulled but not configured:")
        echo_table(("backend", "variant", "path"), rows)


async def _ask(url: str, api_key: str | None, name: str, action: str) -> dict[str, Any]:
    from urllib.parse import quote

    from hub.cli.remote import RemoteHub

    path = f"/v1/models/{quote(name, safe='')}"
    async with RemoteHub(url, api_key) as hub:
        shown: dict[str, Any] = await hub.call("POST", f"{path}/{action}") if action else await hub.get(path)
    return shown


def _show(model: dict[str, Any], as_json: bool) -> None:
    from hub.service.disk.sizes import show_size

    if as_json:
        echo_json(model)
        return
    status, memory = model["status"], model["memory"]
    need = "unknown" if memory["source"] == "unknown" else f"{show_size(memory['need'])} ({memory['source']})"
    facts = {
        "model": model["id"],
        "backend": model["backend"],
        "state": status["state"],
        "requests": f"{status['running']} running, {status['waiting']} waiting",
        "device": memory["device"],
        "needs": need,
        "holds": "unknown" if memory["held"] is None else show_size(memory["held"]),
        "all models on the device": show_size(memory["loaded"]),
        "budget of the device": "none" if memory["budget"] is None else show_size(memory["budget"]),
        "unloaded after": "never" if model["idle_unload"] is None else f"{model['idle_unload']:g} s without a request",
        "last used": "never" if model["last_used"] is None else _clock(model["last_used"]),
    }
    for fact, value in facts.items():
        click.echo(f"{fact}: {value}")
    click.echo()
    rows = (
        (_clock(one["time"]), one["action"], show_size(one["before"]), show_size(one["after"]), plain(one["why"]))
        for one in model["ledger"]
    )
    echo_table(("when", "what", "before", "after", "why"), rows)


def _clock(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


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


def _cell(column: str, value: Any) -> str:
    from hub.service.disk.sizes import show_size

    if column == "memory":
        return "" if value is None else show_size(value)
    return ("[green]yes[/]" if value else "") if isinstance(value, bool) else plain(value)
