"""`ttshub fish`: the vendor's command line, on the hub."""

from __future__ import annotations

import click


@click.group()
def fish() -> None:
    """Fish Speech: its own server, and its three steps by hand."""
