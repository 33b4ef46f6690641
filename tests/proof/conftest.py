"""Real servers with real workers."""

import contextlib

import pytest

from hub.settings import ModelSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub
from tests.support.callers import Caller


@pytest.fixture
def caller():
    """Return a factory of Callers; all of them leave after the test."""
    with contextlib.ExitStack() as stack:

        def call(url, body, headers=()):
            made = Caller(url, body, headers)
            stack.callback(made.leave)
            return made

        yield call


@pytest.fixture
def served():
    """Return a factory of served hubs with the tone backend; by default their only model is `tone`."""
    with contextlib.ExitStack() as stack:

        def serve(*plugins, models=None, options=None, **settings):
            models = models or {"tone": ModelSettings(backend="tone", options=options or {})}
            return stack.enter_context(serve_hub(Settings(models=models, **settings), [tone, *plugins]))

        yield serve
