"""The probe of `ttshub check`: a worker's interpreter imports the synthesizer, and says what it finds of the machine.

The command itself imports neither torch nor a synthesizer.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys

import msgspec

from hub.contract.backend import CONTRACT, BackendSpec, ModelConfig
from hub.contract.machine import Machine
from hub.settings import ModelSettings

IMPORT_TIMEOUT = 180.0
"""Seconds that an interpreter has to import a synthesizer; torch is slow from a cold disk."""

PROGRAM = """
import importlib, sys
import msgspec
from hub.contract.backend import CONTRACT, ModelConfig
module, _, attribute = sys.argv[1].partition(":")
synthesizer = getattr(importlib.import_module(module), attribute)
found = {"contract": CONTRACT}
if "torch" in sys.modules:
    rules = sys.modules.get("hub.nn.device")
    from hub.nn.machine import machine
    place = getattr(synthesizer, "placement", rules and rules.find_placement)
    found["machine"] = machine(msgspec.json.decode(sys.argv[2], type=ModelConfig), place)
print(msgspec.json.encode(found).decode(), file=sys.__stdout__)
"""


class Probed(msgspec.Struct):
    """The answer of an interpreter. `machine` is None for a backend without torch."""

    contract: int
    machine: Machine | None = None


async def probe(name: str, model: ModelSettings, spec: BackendSpec) -> Probed | str:
    """Import the synthesizer of `model` in its interpreter; return the answer, or a problem in words."""
    python = model.python or sys.executable
    if shutil.which(python) is None:
        return f"python: there is no interpreter {python}"
    config = ModelConfig(name=name, backend=spec.name, path=model.path, device=model.device, dtype=model.dtype)
    arguments = (spec.synthesizer, msgspec.json.encode(config).decode())
    process = await asyncio.create_subprocess_exec(
        *(python, "-c", PROGRAM, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONSAFEPATH": "1", **model.env},
    )
    try:
        async with asyncio.timeout(IMPORT_TIMEOUT):
            out, words = await process.communicate()
    except TimeoutError:
        return f"{python} did not import {spec.synthesizer} within {IMPORT_TIMEOUT:.0f} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = words.decode(errors="replace").strip().splitlines() or ["no reason given"]
        return f"{python} cannot import {spec.synthesizer}: {last[-1]}"
    return _read(python, out)


def _read(python: str, out: bytes) -> Probed | str:
    """The last line that the interpreter printed: libraries print too."""
    lines = out.strip().splitlines() or [b""]
    try:
        found = msgspec.json.decode(lines[-1], type=Probed)
    except msgspec.DecodeError:
        return f"{python} is no interpreter with tts-hub: it answered {lines[-1][:60].decode(errors='replace')!r}"
    if found.contract != CONTRACT:
        return (
            f"{python} has a tts-hub with contract {found.contract}, this one has {CONTRACT}: "
            "install the same version there"
        )
    return found
