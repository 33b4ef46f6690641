"""Fixtures for every test: of the hub (`tests`) and of its plugins (`plugins/*/tests`)."""

import hypothesis
import pytest

# No test asserts speed on a clock: a machine that does other work is slow, not wrong.
hypothesis.settings.register_profile("hub", deadline=None)
hypothesis.settings.load_profile("hub")


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


@pytest.fixture(autouse=True)
def data_home_of_its_own(data_home, monkeypatch, tmp_path_factory):
    """Each test has its own, because one hub at a time works on the tasks in a data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
