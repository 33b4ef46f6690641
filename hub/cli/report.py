"""Printing results: JSON for scripts, tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click


def echo_json(value: Any, *, err: bool = False) -> None:
    """Print `value`, any mix of Structs and plain data, as indented JSON on stdout (or stderr)."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode(), err=err)


def echo_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table. Cells are rich markup; escape foreign text with `plain`."""
    import sys

    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


def plain(text: object) -> str:
    """Return `text`, escaped for a cell of a table."""
    from rich.markup import escape

    return escape(str(text))
