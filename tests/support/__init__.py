"""Helpers that several tests share. `ROOT` is the repository, for workers and commands that import from it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
