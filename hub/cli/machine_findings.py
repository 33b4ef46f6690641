"""Findings about torch, its driver and its cards, and about the parts of a model in ONNX."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

from hub.cli.finding import Finding
from hub.contract.machine import Card, Machine, Onnx
from hub.service.disk.sizes import parse_size, show_size
from hub.service.models.memory import files_size
from hub.settings import ModelSettings

CUDA_EXTRA = "cuda"
"""The extra of a plugin's distribution that brings ONNX Runtime with CUDA."""


def of_machine(name: str, model: ModelSettings, machine: Machine, *, gpus: int, distribution: str) -> Iterator[Finding]:
    """Report what a model's interpreter finds. `gpus` are those that nvidia-smi shows."""
    build = f"torch {machine.torch}" + (f" for CUDA {machine.cuda}" if machine.cuda else "")
    driver = f"driver {machine.driver}" if machine.driver else ""
    cards = [_shown(number, card) for number, card in enumerate(machine.cards)]
    place = f"computes on {machine.placement}" if machine.placement else ""
    facts = [build, driver, *cards, place]
    notes = [*_passed_over(model, machine, gpus), *_too_small(model, machine)]
    yield Finding("torch", name, "note" if notes else "ok", "; ".join(filter(None, [*facts, *notes])))
    if machine.onnx is not None and machine.placement.startswith("cuda"):
        yield from _of_onnx(name, machine.onnx, distribution)


def _shown(number: int, card: Card) -> str:
    memory = f"{show_size(card.total)}, {show_size(card.free)} free"
    return f"cuda:{number} {card.name} ({card.capability}, {memory})"


def _passed_over(model: ModelSettings, machine: Machine, gpus: int) -> Iterator[str]:
    """Notes on GPUs that are there and are not used, although the settings leave the choice to the hub."""
    if model.device != "auto" or machine.placement.startswith("cuda"):
        return
    if machine.cards:
        yield "this torch has no code for any of these cards; install one that has"
    elif gpus:
        yield f"nvidia-smi shows {gpus} GPU{'s' * (gpus > 1)}, and this torch finds none: {machine.missing}"


def _too_small(model: ModelSettings, machine: Machine) -> Iterator[str]:
    """A note if the model needs more than its card has free."""
    device = machine.placement.partition(" ")[0]
    number = int(device.partition(":")[2] or 0)
    if not device.startswith("cuda") or number >= len(machine.cards):
        return
    need, said = (parse_size(model.memory), "its settings") if model.memory else (files_size(model.path), "its files")
    free = machine.cards[number].free
    if need > free:
        yield f"{said} say {show_size(need)}, and {device} has {show_size(free)} free: another program may use it"


def _of_onnx(name: str, onnx: Onnx, distribution: str) -> Iterator[Finding]:
    """Report whether the parts in ONNX compute on the GPU, for a plugin that has an extra for that."""
    if CUDA_EXTRA not in _extras(distribution):
        return
    version = f"onnxruntime {onnx.version}"
    if onnx.works:
        yield Finding("onnx", name, "ok", f"{version} computes with CUDA")
    elif onnx.offered:
        finding = f"{version} cannot start its CUDA provider, which may want other versions of CUDA or cuDNN than torch"
        yield Finding("onnx", name, "note", f"{finding}: the parts in ONNX are computed on the CPU")
    else:
        finding = f"{version} is the build for the CPU: the parts in ONNX are computed there"
        yield Finding("onnx", name, "note", f"{finding}; pip install '{distribution}[{CUDA_EXTRA}]'")


def _extras(distribution: str) -> list[str]:
    try:
        return importlib.metadata.metadata(distribution).get_all("Provides-Extra") or []
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return []
