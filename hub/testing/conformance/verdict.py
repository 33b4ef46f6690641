"""Verdicts of the conformance tests: fail with a message that says what to change."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from hub.contract.event import Done
from hub.testing.driver import Answer


def fail(message: str) -> NoReturn:
    """Fail the test, without a traceback."""
    pytest.fail(message, pytrace=False)


def must(condition: bool, message: str) -> None:
    """Fail the test unless `condition` holds."""
    if not condition:
        fail(message)


def heard(answer: Answer) -> Answer:
    """Return `answer`, which must be audio that can be heard."""
    if answer.fault is not None:
        fail(f"an ordinary request ended with {answer.fault.code}: {answer.fault.message}")
    problem = answer.problem
    must(not problem, f"an ordinary request {problem}")
    return answer


def report_of(answer: Answer) -> dict[str, Any]:
    """Return the report of the probe's experiment, which must have ended without a fault."""
    if not isinstance(answer.ending, Done):
        fail(f"an ordinary request ended with {answer.ending.code}: {answer.ending.message}")
    return answer.ending.report
