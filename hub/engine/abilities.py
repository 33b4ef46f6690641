"""The abilities of a synthesizer besides speech, checked against what it declares once, when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hub.contract.backend import Capabilities, Codec, Converter, Live, Memory, Mixer, Synthesizer
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import UnsupportedCapability, WorkerStartFailed
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import ResolvedRequest
from hub.engine.pump import Running

PROTOCOLS = {"live_text": Live, "conversion": Converter, "codec": Codec, "mixing": Mixer}
"""Capability -> the protocol that a synthesizer must implement if it declares it."""


class Abilities(NamedTuple):
    """A synthesizer: the same object once for each role that it has, or None; `memory` is its device's."""

    synthesizer: Synthesizer
    live: Live | None
    converter: Converter | None
    memory: Memory | None

    def begin(
        self, request: ResolvedRequest | ResolvedConversion, running: Running
    ) -> Iterator[AudioChunk | Mark | Done]:
        """The events of one request. Raises UnsupportedCapability for a role that the synthesizer does not have."""
        if isinstance(request, ResolvedConversion):
            if self.converter is None:
                raise UnsupportedCapability("this model does not convert recordings", capability="conversion")
            return self.converter.convert(request, running)
        if not running.live:
            return self.synthesizer.speak(request, running)
        if self.live is None:
            raise UnsupportedCapability("this model does not take live text", capability="live_text")
        return self.live.speak_live(request, running.pieces(), running)


def abilities_of(synthesizer: Synthesizer, can: Capabilities) -> Abilities:
    """The roles of a loaded synthesizer. Raises WorkerStartFailed if it declares one that it does not have."""
    for capability, protocol in PROTOCOLS.items():
        if getattr(can, capability) and not isinstance(synthesizer, protocol):
            raise WorkerStartFailed(
                f"the backend declares {capability}, but its synthesizer {type(synthesizer).__name__} is not a "
                f"{protocol.__name__}; its author must add the methods or withdraw the capability"
            )
    memory = getattr(synthesizer, "memory", None)
    return Abilities(
        synthesizer=synthesizer,
        live=synthesizer if isinstance(synthesizer, Live) else None,
        converter=synthesizer if isinstance(synthesizer, Converter) else None,
        memory=memory if isinstance(memory, Memory) else None,
    )
