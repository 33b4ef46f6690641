import contextlib

import pytest

from hub.plugin.manager import Plugins
from hub.service.hub import Hub
from hub.settings import ModelSettings, Settings
from hub.testing import tone


@pytest.fixture
async def hubs(anyio_backend):
    """Return a factory of started hubs whose model `tone` runs in a real worker; stop all of them after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(*, model=None, plugins=(), **settings):
            settings.setdefault("models", {"tone": ModelSettings(backend="tone", **(model or {}))})
            discovered = Plugins.discover(extra=[tone, *plugins])
            hub = Hub.build(Settings(**settings), discovered)
            stack.push_async_callback(hub.stop)
            await hub.start()
            return hub

        yield make
