"""The rules of CUDA that the pretend GPU keeps: one error type for each, whose message begins with the rule."""

from __future__ import annotations

from typing import Any


class RuleBroken(RuntimeError):
    """Code that a real GPU would refuse, or get wrong without a word. `rule` says what is forbidden."""

    rule = "code must be able to run on a GPU"

    def __init__(self, what: Any = "") -> None:
        super().__init__(f"{self.rule}: {what}" if what else self.rule)


class MixedDevices(RuleBroken):
    """Tensors of two devices in one operation."""

    rule = "all tensors of an operation lie on one device"


class NoKernel(RuleBroken):
    """An operation that torch has for the CPU only."""

    rule = "an operation on a GPU needs a CUDA kernel"


class UnsupportedType(RuleBroken):
    """A type of numbers that the GPU's library does not compute with."""

    rule = "FFTs on a GPU are computed in float32 or float64, not in half precision"


class GeneratorElsewhere(RuleBroken):
    """A draw from a generator that is on another device than the tensor."""

    rule = "a generator draws for tensors of its own device"


class HostWaits(RuleBroken):
    """The host waits for the device inside a capture."""

    rule = "nothing inside a capture may wait for the device"


class ShapeFromData(HostWaits):
    """A result inside a capture whose shape depends on the values of a tensor."""

    rule = "no shape inside a capture may depend on the values of a tensor"


class HostCopy(HostWaits):
    """A copy between host and device inside a capture."""

    rule = "nothing inside a capture is copied between host and device"


class OutsideTheStream(RuleBroken):
    """Work inside a capture on another device or stream than the capture's."""

    rule = "all work inside a capture is on the capture's device and stream"


class TwoCaptures(RuleBroken):
    """A second capture while another one is under way."""

    rule = "a process captures one graph at a time"


class CaptureDisturbed(RuleBroken):
    """`synchronize`, `empty_cache` or the like, from any thread, while a capture is under way."""

    rule = "nothing may synchronise a device or empty its cache while a graph is captured"


class CaptureMisused(RuleBroken):
    """A capture on the default stream, an end without a beginning, a replay inside a capture."""

    rule = "a graph is captured once, on a side stream, and replayed afterwards"


class UnregisteredGenerator(RuleBroken):
    """A draw inside a capture from a generator that the graph does not know."""

    rule = "a generator that draws inside a capture is registered with the graph first"


class FreedMemory(RuleBroken):
    """A replay that reads memory which no tensor holds any more."""

    rule = "tensors that a graph reads live as long as the graph"


class EventElsewhere(RuleBroken):
    """An event that was recorded on another device than the copy which it should follow."""

    rule = "an event is recorded on the stream whose work it should wait for"


class NotPretended(NotImplementedError):
    """Something that a real GPU can do, and this one does not model."""
