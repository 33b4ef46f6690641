"""Fixtures for the whole suite."""

import pytest


@pytest.fixture
def anyio_backend():
    """Async tests (`@pytest.mark.anyio`) run on asyncio, as the hub does."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory):
    """No test reads or writes the data folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield
