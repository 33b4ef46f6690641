"""The hub's own tests: what a run says first, and that they see the hub without the families installed beside it."""

import parity_cases
import pytest
from alone import hiding

FAMILIES = hiding.families()


def pytest_report_header():
    """Which parity cases there are, in one line."""
    return parity_cases.found().summary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Each test, with its fixtures of every scope, sees the hub alone, unless it is marked `with_families`."""
    if item.get_closest_marker("with_families"):
        return (yield)
    with hiding.alone(FAMILIES):
        return (yield)
