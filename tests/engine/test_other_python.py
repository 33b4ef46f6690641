"""A worker runs in another virtual environment, with the packages that are installed there."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hub.contract import AudioChunk, ResolvedRequest
from hub.contract.errors import WorkerStartFailed
from hub.testing import tone

pytestmark = pytest.mark.anyio

SYNTHESIZER = '''
import sys
from hub.testing.tone import Tone

class Elsewhere(Tone):
    """Says from which environment it speaks."""

    def speak(self, request, stop):
        request.text = sys.prefix
        yield from super().speak(request, stop)
'''


@pytest.fixture(scope="module")
def other_venv(tmp_path_factory):
    """A second environment: the hub with only a worker's dependencies, not those of the server or the command line."""
    folder = tmp_path_factory.mktemp("other") / "venv"
    repository = Path(__file__).parents[2]
    source = tmp_path_factory.mktemp("source")  # a copy: building leaves folders behind
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(repository / name, source)
    shutil.copytree(repository / "hub", source / "hub")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", repository / "constraints.txt", "msgspec", "numpy", "pluggy"], check=True)
    subprocess.run([*install, "--no-deps", source], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "only_there.py").write_text(SYNTHESIZER)
    return folder


async def test_the_worker_speaks_from_the_other_environment(engines, other_venv):
    engine = engines("only_there:Elsewhere", python=str(other_venv / "bin" / "python"))
    await engine.start()
    stream = engine.speak(ResolvedRequest(text="where are you?"))
    pcm = b"".join([event.pcm async for event in stream if isinstance(event, AudioChunk)])
    assert tone.decode(np.frombuffer(pcm, "<f4"), tone.SAMPLE_RATE) == str(other_venv)
    assert str(other_venv) != sys.prefix


async def test_the_same_synthesizer_does_not_load_in_this_environment(engines, other_venv):
    with pytest.raises(WorkerStartFailed, match="ModuleNotFoundError"):
        await engines("only_there:Elsewhere").start()


async def test_an_environment_without_the_hub_says_what_to_install(engines, tmp_path):
    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    with pytest.raises(WorkerStartFailed, match="found no tts-hub in its interpreter"):
        await engines(python=str(folder / "bin" / "python")).start()
