"""The checks of `ttshub check`, one function per subject."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hub.cli.failure import Failed
from hub.cli.finding import Finding
from hub.cli.machine_findings import of_machine
from hub.cli.probe import probe
from hub.cli.serve import bind
from hub.contract.backend import BackendSpec
from hub.contract.errors import HubError
from hub.contract.speech import AudioFormat, SpeechRequest
from hub.plugin.manager import Plugins
from hub.settings import ModelSettings, Settings, SettingsError
from hub.settings_load import find_config

if TYPE_CHECKING:
    from hub.plugin.spec import ModelCheck

TEXT = "This is a check of the hub."


def of_settings(config: Path | None, settings: Settings) -> Iterator[Finding]:
    """Report where the settings came from, and who may use the hub."""
    file = find_config(config)
    yield Finding("settings", "", "ok", str(file) if file else "no hub.toml: the defaults apply")
    keys = [key.name for key in settings.auth.keys]
    finding = f"for {', '.join(keys)}" if keys else "none: anyone who can reach the hub may use it"
    yield Finding("settings", "auth.keys", "ok", finding)


def of_plugins(plugins: Plugins) -> Iterator[Finding]:
    """Report the plugins, and their failures."""
    failed = {failure.plugin for failure in plugins.failures}
    for info in plugins.installed:
        if info.name not in failed:
            state = (
                f"backends: {', '.join(info.backends) or 'none'}" if info.enabled else "disabled by plugins.disabled"
            )
            source = f"{info.distribution} {info.version}".strip()
            yield Finding("plugin", info.name, "ok" if info.enabled else "note", f"{source}; {state}")
    for failure in plugins.failures:
        source = failure.distribution or "unknown distribution"
        yield Finding("plugin", failure.plugin, "problem", f"{failure.error} (from {source})")


def of_devices() -> Iterator[Finding]:
    """Report the devices that models can run on."""
    yield Finding("device", "cpu", "ok", f"{os.cpu_count()} cores")
    for number, gpu in enumerate(nvidia_gpus()):
        yield Finding("device", f"cuda:{number}", "ok", gpu)
    if _has_mps():
        yield Finding("device", "mps", "ok", "Apple GPU")


def nvidia_gpus() -> list[str]:
    """Return name and memory of each NVIDIA GPU; an empty list without a driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in answer.stdout.splitlines() if line.count(", ") == 2]
    return [f"{name}, {total} of memory, {free} free" for name, total, free in rows]


def _has_mps() -> bool:
    return sys.platform == "darwin" and os.uname().machine == "arm64"


def of_routes(settings: Settings, plugins: Plugins) -> Iterator[Finding]:
    """Report plugins' routes that clash with each other or with the hub's; adds to `plugins.failures`."""
    from hub.api.app import create_app
    from hub.service.hub import Hub

    failed = len(plugins.failures)
    try:
        create_app(Hub.build(settings, plugins))
    except SettingsError:
        return  # `of_models` reports it
    for failure in plugins.failures[failed:]:
        yield Finding("plugin", failure.plugin, "problem", failure.error)
    for note in plugins.notes:
        yield Finding("plugin", note.plugin, "note", note.note)


async def of_models(settings: Settings, plugins: Plugins) -> list[Finding]:
    """Check each model: its backend, device, path, and whether its interpreter can import its synthesizer."""
    from hub.service.hub import Hub

    try:
        models = Hub.build(settings, plugins).models
    except SettingsError as error:
        return [Finding("model", "", "problem", problem) for problem in error.problems]
    found = [
        Finding("model", name, "problem", f"its backend {backend!r} is missing: the plugin failed or is disabled")
        for name, backend in models.missing.items()
    ]
    if not models.default:
        found.append(Finding("model", "", "problem", "no model can be served; add a [models.NAME] table to hub.toml"))
    gpus = len(nvidia_gpus())
    checks = [_of_model(model.name, model.settings, model.spec, gpus, _home(plugins, model.spec)) for model in models]
    for findings in await asyncio.gather(*checks):
        found += findings
    for model in models:
        owner = plugins.backend_plugins.get(model.spec.name)
        for plugin, check in plugins.checks():
            if plugin == owner:
                found += _notes(model.name, model.settings, plugin, check)
    return found


def _notes(name: str, model: ModelSettings, plugin: str, check: ModelCheck) -> Iterator[Finding]:
    """Report what a plugin's own check says about a model."""
    try:
        yield from [Finding("model", name, "note", note) for note in check(model)]
    except Exception as error:
        problem = f"the check of plugin {plugin} failed: {type(error).__name__}: {error}"
        yield Finding("model", name, "problem", problem)


def _home(plugins: Plugins, spec: BackendSpec) -> str:
    """The distribution of the plugin that registered a backend, or ""."""
    owner = plugins.backend_plugins.get(spec.name)
    return next((info.distribution for info in plugins.installed if info.name == owner), "")


async def _of_model(name: str, model: ModelSettings, spec: BackendSpec, gpus: int, home: str) -> list[Finding]:
    """Report on one model: it works or not, and what its interpreter finds of the machine."""
    problem = _path_problem(model.path)
    answer = await probe(name, model, spec) if problem is None else problem
    if isinstance(answer, str):
        return [Finding("model", name, "problem", answer)]
    machine = answer.machine
    known = machine is not None and bool(machine.placement or machine.problem)
    problem = machine.problem if machine is not None and known else _device_problem(model.device, gpus)
    finding = problem or f"backend {spec.name}, device {model.device}, {model.path or 'no path needed'}"
    found = [Finding("model", name, "problem" if problem else "ok", finding)]
    if machine is not None:
        found += of_machine(name, model, machine, gpus=gpus, distribution=home)
    return found


def _device_problem(device: str, gpus: int) -> str | None:
    kind, _, number = device.partition(":")
    if kind == "cuda" and not gpus:
        return f'device {device!r}: nvidia-smi finds no GPU; use device = "auto" or "cpu"'
    if kind == "cuda" and int(number or 0) >= gpus:
        return f"device {device!r}: the last GPU is cuda:{gpus - 1}"
    return f"device {device!r}: this machine has no Apple GPU" if kind == "mps" and not _has_mps() else None


def _path_problem(path: str) -> str | None:
    """Return a problem if a path of this machine does not exist; any other text may name a repository."""
    if (Path(path).is_absolute() or path.startswith((".", "~"))) and not Path(path).expanduser().exists():
        return f"path: there is no {path}"
    return None


def of_server(settings: Settings) -> Iterator[Finding]:
    """Check that the server may listen at its address, and that the address is free."""
    from hub.api.http.auth import check_bind

    address = f"{settings.server.host}:{settings.server.port}"
    try:
        check_bind(settings)
    except SettingsError as error:
        yield Finding("server", address, "problem", str(error))
        return
    try:
        sockets = bind(settings.server)
    except Failed as error:
        yield Finding("server", address, "problem", f"{error.message}; {error.hint}")
        return
    for one in sockets:
        one.close()
    yield Finding("server", address, "ok", "free")


async def of_speech(settings: Settings, plugins: Plugins) -> list[Finding]:
    """Load one model after the other, and have each speak a sentence."""
    from hub.cli.local import LocalHub
    from hub.service.hub import Hub

    found = []
    async with LocalHub(Hub.build(settings, plugins)) as source:
        for model in source.hub.models:
            request = SpeechRequest(text=TEXT, model=model.name, format=AudioFormat(container="pcm"))
            try:
                async with source.speak(request, whole=False) as answer:
                    async for _ in answer:
                        pass
            except HubError as error:
                problem = f"{error.code}: {error.message} (--debug shows the worker's log)"
                found.append(Finding("speech", model.name, "problem", problem))
                continue
            finding = f"{answer.seconds:.1f} s of audio at {answer.sample_rate} Hz; loaded in {answer.load:.1f} s"
            found.append(Finding("speech", model.name, "ok", finding))
            await model.engine.stop()
    return found
