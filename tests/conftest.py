"""What a run of the hub's own tests says first."""

import parity_cases


def pytest_report_header():
    """Which parity cases there are, in one line."""
    return parity_cases.found().summary
