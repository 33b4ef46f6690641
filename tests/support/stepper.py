"""A backend that runs step by step: it makes a chunk when the test allows it, and logs the requests that it served."""

import json
import os
from pathlib import Path

import numpy as np
from msgspec import Struct

from hub.contract import AudioChunk, BackendSpec, Capabilities, ModelConfig
from hub.plugin.spec import hookimpl
from hub.settings import ModelSettings
from tests.support import ROOT

RATE = 24_000
CHUNK = 0.1


class StepperOptions(Struct):
    """Request options: the number of chunks of an answer."""

    chunks: int = 1_000_000


class Stepper:
    """The synthesizer. `load` options: `steps`, a FIFO that gives one byte for each chunk; `log`, a file."""

    capabilities = Capabilities(sample_rate=RATE, streaming=True)

    def load(self, model: ModelConfig):
        self._steps = os.open(model.options["steps"], os.O_RDONLY)
        self._log = Path(model.options["log"])

    def voices(self):
        return []

    def make_voice(self, draft):
        return b""

    def close(self):
        os.close(self._steps)

    def _write(self, **entry):
        with self._log.open("a") as log:
            log.write(json.dumps(entry) + "\n")

    def speak(self, request, stop):
        count = request.options.get("chunks", StepperOptions().chunks)
        self._write(began=request.text)
        chunk = 0
        while chunk < count and os.read(self._steps, 1) and not stop.is_set():
            chunk += 1
            yield AudioChunk.of(np.full(round(CHUNK * RATE), 0.1, dtype=np.float32), RATE)
        self._write(ended=request.text, chunks=chunk)


class Remote:
    """The test's side of the stepper: `step()` allows chunks, `log()` returns its log."""

    def __init__(self, folder: Path):
        self._folder = folder
        os.mkfifo(folder / "steps")
        self._steps = os.open(
            folder / "steps", os.O_RDWR
        )  # for reading and writing, so that neither side waits in open()

    def settings(self, **keywords):
        options = {"steps": str(self._folder / "steps"), "log": str(self._folder / "log")}
        path = {"PYTHONPATH": str(ROOT)}
        return ModelSettings(backend="stepper", options=options, env=path, **keywords)

    def step(self, chunks=1):
        os.write(self._steps, b"." * chunks)

    def log(self):
        file = self._folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def close(self):
        os.close(self._steps)


@hookimpl
def register_backends(settings):
    return [
        BackendSpec(
            contract=1,
            name="stepper",
            synthesizer=f"{__name__}:Stepper",
            capabilities=Stepper.capabilities,
            options=StepperOptions,
        )
    ]
