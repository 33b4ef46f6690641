"""Hiding the installed families, so that the hub's tests do not depend on them."""

import importlib.metadata
import os
from contextlib import contextmanager
from pathlib import Path

GROUP = "hub.plugins"
VARIABLE = "HUB_TESTS_HIDE"
"""The variable that names the plugins to hide in child processes; `sitecustomize.py` beside this file reads it."""


def families():
    """Return the names of the installed plugins that are not the hub's own."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)} - {"hibari"})


def hide(names):
    """Remove the entry points of these names from the hub's group; return a function that restores them."""
    seen = importlib.metadata.entry_points

    def entry_points(**wanted):
        # Without arguments, Python 3.11 returns a dict-like object whose iteration is deprecated.
        points = seen(**wanted) if wanted else [point for group in seen().groups for point in seen(group=group)]
        return importlib.metadata.EntryPoints(
            point for point in points if point.group != GROUP or point.name not in names
        )

    def undo():
        importlib.metadata.entry_points = seen

    importlib.metadata.entry_points = entry_points
    return undo


@contextmanager
def alone(names):
    """Hide these plugins from this process and its child processes."""
    before = {name: os.environ.get(name) for name in (VARIABLE, "PYTHONPATH")}
    os.environ[VARIABLE] = ",".join(names)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), before["PYTHONPATH"])))
    undo = hide(names)
    try:
        yield
    finally:
        undo()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
