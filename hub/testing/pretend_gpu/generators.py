"""Generators of random numbers that say `cuda:N` and draw what a generator of the CPU with their seed draws."""

from __future__ import annotations

from typing import Any

import torch

from hub.testing.pretend_gpu.machine import active
from hub.testing.pretend_gpu.rules import GeneratorElsewhere

_Generator: Any = torch.Generator
_places: dict[int, torch.device] = {}
"""Where the generators of pretend devices are. torch hands an operation another object for the same generator."""


class DeviceGenerator(_Generator):  # type: ignore[misc]
    """Stands for `torch.Generator`, for every device."""

    def __new__(cls, device: Any = "cpu") -> DeviceGenerator:
        """A generator of the CPU, whatever `device` is."""
        found = torch.device(device)
        made: DeviceGenerator = super().__new__(cls, "cpu" if found.type == "cuda" else found)
        if found.type == "cuda":
            _places[made._cdata] = active().device(found)
        return made

    def __init__(self, device: Any = "cpu") -> None:
        pass

    def __del__(self) -> None:
        _places.pop(self._cdata, None)

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return device_of(self)


def device_of(generator: Any) -> torch.device:
    """The device of a generator."""
    return _places.get(generator._cdata) or _Generator.device.__get__(generator)


def check(generator: Any, device: torch.device, what: str) -> None:
    """Raise GeneratorElsewhere unless `generator` is on `device`."""
    found = device_of(generator)
    if found != device:
        raise GeneratorElsewhere(f"{what} on {device} with a generator on {found}")
