"""What several tests share. `ROOT` is the repository, for workers and commands that import what lies below it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
