"""Where the tiny checkpoints are: those of the parity cases, with the layout of the releases and random weights."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PLACES = [Path(place) for place in os.environ.get("HUB_PARITY_CASES", "").split(os.pathsep) if place]
PLACES += [ROOT.parent / "shared" / "parity"]


def case(name: str) -> Path:
    """The folder of a whole case of cosyvoice; without it the module that asks is skipped, and says so."""
    for place in PLACES:
        for folder in (place / "cosyvoice" / name, place / name):
            if (folder / "checkpoint" / "flow.pt").is_file():
                return folder
    pytest.skip(f"the parity case cosyvoice/{name} is not on this machine", allow_module_level=True)


def checkpoint(name: str) -> Path:
    """Its checkpoint."""
    return case(name) / "checkpoint"
