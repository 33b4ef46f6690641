"""Fixtures for the whole suite."""

import pytest


@pytest.fixture
def anyio_backend():
    """Async tests (`@pytest.mark.anyio`) run on asyncio, as the hub does."""
    return "asyncio"
