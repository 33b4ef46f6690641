"""For every test, of the hub and of its plugins: how a run is spread, and what it may touch."""

import os
import sys

import pytest

# Two runs at once on two cores: a thread each. Sums are then also split alike in every process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

LIGHT = ("tests/text", "tests/audio", "tests/nn", "tests/plugin", "tests/test_layers.py", "tests/test_settings.py")
"""What is over before a second process would have started."""


def pytest_xdist_auto_num_workers(config):
    """Tests run on all cores (`-n auto` in pyproject.toml); a single file, and light rooms, in this process."""
    asked = {arg.partition("::")[0].rstrip("/") for arg in config.args}
    if (len(asked) == 1 and next(iter(asked)).endswith(".py")) or asked <= set(LIGHT):
        return 0
    return os.cpu_count() or 1


def pytest_pycollect_makemodule(module_path, parent):
    """No test asserts speed on a clock: a machine that does other work is slow, not wrong.

    hypothesis takes a second to import, so that only the files that use it wait for it.
    """
    if "hypothesis" not in sys.modules and b"hypothesis" in module_path.read_bytes():
        import hypothesis

        hypothesis.settings.register_profile("hub", deadline=None)
        hypothesis.settings.load_profile("hub")


@pytest.fixture
def anyio_backend():
    """Async tests (`@pytest.mark.anyio`) run on asyncio, as the hub does."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory):
    """No test reads or writes the data folder of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def data_home_of_its_own(data_home, monkeypatch, tmp_path_factory):
    """Each test has its own, because one hub at a time works on the tasks in a data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
