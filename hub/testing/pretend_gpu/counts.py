"""What the pretend GPU counts."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class Counts:
    """Counts of all threads since the start, or of one block (`PretendGpu.counted`).

    `kernels` are operations that ran on a device, those of replays included; `launches` are the host's: one for each
    operation outside of graphs, one for each replay. `synchronisations` are the times that the host waited.
    """

    captures: int = 0
    replays: int = 0
    kernels: int = 0
    launches: int = 0
    synchronisations: int = 0
    to_device: int = 0
    """Copies from host to device."""
    to_host: int = 0
    """Copies from device to host."""

    def copy(self) -> Counts:
        """The counts as they are now."""
        return Counts(**{field.name: getattr(self, field.name) for field in fields(self)})

    def since(self, before: Counts) -> Counts:
        """What was added since `before`."""
        return Counts(**{field.name: getattr(self, field.name) - getattr(before, field.name) for field in fields(self)})
