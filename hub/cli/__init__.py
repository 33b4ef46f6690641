"""The command line, `ttshub`: one module a command, and nothing heavy imported before a command needs it."""

from hub.cli.app import cli, main

__all__ = ["cli", "main"]
