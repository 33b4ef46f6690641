"""`ttshub backends`: the model families that the plugins provide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options

if TYPE_CHECKING:
    from hub.contract.backend import BackendSpec, Capabilities


@click.command()
@session_options
@json_option
@click.pass_obj
def backends(session: Session, as_json: bool) -> None:
    """List the backends and what they can do.

    --json adds the schema of their options.
    """
    found = session.plugins(session.settings())
    if as_json:
        echo_json([_described(spec, found.backend_plugins[name]) for name, spec in found.backends.items()])
        return
    echo_table(
        ("backend", "title", "can", "languages", "options", "licence"),
        (
            (
                plain(spec.name),
                plain(spec.title),
                ", ".join(abilities(spec.capabilities)) or "speak",
                ", ".join(spec.capabilities.languages) or "any",
                ", ".join(spec.options.__struct_fields__) if spec.options else "",
                plain(spec.licence),
            )
            for spec in found.backends.values()
        ),
    )


def abilities(capabilities: Capabilities) -> list[str]:
    """Return the names of the declared capabilities."""
    return [name for name in capabilities.__struct_fields__ if getattr(capabilities, name) is True]


def _described(spec: BackendSpec, plugin: str) -> dict[str, Any]:
    import msgspec

    return {
        "name": spec.name,
        "title": spec.title,
        "description": spec.description,
        "plugin": plugin,
        "contract": spec.contract,
        "synthesizer": spec.synthesizer,
        "capabilities": msgspec.structs.asdict(spec.capabilities),
        "options_schema": msgspec.json.schema(spec.options) if spec.options else None,
        "licence": spec.licence,
        "homepage": spec.homepage,
    }
