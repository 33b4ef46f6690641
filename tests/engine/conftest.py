import contextlib

import pytest

from hub.contract import ModelConfig
from hub.engine.process import ProcessEngine
from hub.settings import WorkerSettings


@pytest.fixture
async def engines(anyio_backend):
    """A factory of ProcessEngines on the tone backend; all are stopped after the test."""
    async with contextlib.AsyncExitStack() as stack:

        def make(synthesizer="hub.testing.tone:Tone", *, options=None, worker=None, **keywords):
            engine = ProcessEngine(
                ModelConfig(name="tone", options=options or {}),
                synthesizer,
                settings=WorkerSettings(**(worker or {})),
                **keywords,
            )
            stack.push_async_callback(engine.stop)
            return engine

        yield make
