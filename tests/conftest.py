"""The hub's own tests: what a run says first, and that they see the hub without the families installed beside it."""

from pathlib import Path

import pytest

from tests.support import parity_cases
from tests.support.alone import hiding

TESTS = Path(__file__).parent
FAMILIES = hiding.families()


def pytest_report_header():
    """Which parity cases there are, in one line."""
    return parity_cases.found().summary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Each test of the hub, with its fixtures of every scope, sees it alone, unless it is marked `with_families`.

    Plugins' tests come by as well: this hook is asked for every test of a run, wherever it lies.
    """
    if item.get_closest_marker("with_families") or not item.path.is_relative_to(TESTS):
        return (yield)
    with hiding.alone(FAMILIES):
        return (yield)
