"""The conformance tests: the requirements for every backend. A plugin's tests subclass BackendConformance.

    from hub.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        backend = "mine"                                # a registered name, or a BackendSpec
        model = {"path": "/models/mine", "device": "cpu"}

Everything runs in the backend's real worker process. Needs pytest.
"""

from __future__ import annotations

from hub.testing.conformance.cloning import Cloning
from hub.testing.conformance.declaration import HEAVY, Declaration
from hub.testing.conformance.ending import Ending
from hub.testing.conformance.faults import Faults
from hub.testing.conformance.recordings import Recordings
from hub.testing.conformance.speaking import Speaking

__all__ = ["HEAVY", "BackendConformance"]


class BackendConformance(Ending, Faults, Recordings, Cloning, Speaking, Declaration):
    """Subclass it, name the class Test..., and set `backend`.

    pytest runs the tests of the last base class first; `Ending` stops the worker, so it comes last.
    """
