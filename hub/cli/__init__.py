"""The command line, `ttshub`: one module per command, and no heavy import before a command needs it."""

from hub.cli.app import cli, main

__all__ = ["cli", "main"]
