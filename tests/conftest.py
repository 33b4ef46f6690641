"""The hub's own tests: the first line of a run, and a hub without the families that are installed beside it."""

from pathlib import Path

import pytest

from tests.support import parity_cases
from tests.support.alone import hiding

TESTS = Path(__file__).parent
FAMILIES = hiding.families()


def pytest_report_header():
    """Return the number and the source of the parity cases, in one line."""
    return parity_cases.found().summary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Hide the families from each test of the hub and its fixtures, unless the test is marked `with_families`.

    pytest calls this hook for every test of a run, including those of plugins, which see all families.
    """
    if item.get_closest_marker("with_families") or not item.path.is_relative_to(TESTS):
        return (yield)
    with hiding.alone(FAMILIES):
        return (yield)
