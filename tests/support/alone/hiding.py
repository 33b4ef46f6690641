"""The hub as if it were installed alone: its tests do not depend on which families are installed beside it."""

import importlib.metadata
import os
from contextlib import contextmanager
from pathlib import Path

GROUP = "hub.plugins"
VARIABLE = "HUB_TESTS_HIDE"
"""Names of the plugins that processes below leave out, for `sitecustomize.py` beside this file."""


def families():
    """Every installed plugin but the hub's own."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)} - {"hibari"})


def hide(names):
    """From now on no entry point of the hub's group has one of these names; returns what undoes it."""
    seen = importlib.metadata.entry_points

    def entry_points(**wanted):
        # Asked for all, Python 3.11 gives a dict-like thing whose iteration is deprecated.
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
    """Hide these plugins from this process, and from those that it starts."""
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
