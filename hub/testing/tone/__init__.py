"""`tone`: the reference backend. It speaks no language: it plays the text, so that a test can read it back.

Each UTF-8 byte of the text is one symbol: two sines at once, one for each half of the byte, over a hum whose pitch is
the voice. `decode` recovers the exact text from the audio and `pitch_of` the voice, so that a test can prove that an
answer is its own. The backend is cheap and deterministic, and its options make it misbehave like a real backend.

No entry point names it: tests register it with `Plugins.discover(extra=[hub.testing.tone])`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.contract.backend import BackendSpec
from hub.plugin.spec import hookimpl
from hub.testing.tone.options import ToneOptions
from hub.testing.tone.reading import decode, pitch_of
from hub.testing.tone.symbols import SAMPLE_RATE, SYMBOL
from hub.testing.tone.synthesizer import Tone
from hub.testing.tone.voices import CLONED_PITCHES, PITCHES

if TYPE_CHECKING:
    from hub.settings import Settings

__all__ = [
    "CLONED_PITCHES",
    "PITCHES",
    "SAMPLE_RATE",
    "SYMBOL",
    "Tone",
    "ToneOptions",
    "decode",
    "pitch_of",
    "register_backends",
]


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """Register the tone backend, without a default model: only tests configure one."""
    return [
        BackendSpec(
            name="tone",
            synthesizer="hub.testing.tone:Tone",
            contract=1,
            title="Tone",
            description="Plays the text as tones that can be decoded. For tests and benchmarks.",
            capabilities=Tone.capabilities,
            options=ToneOptions,
            licence="Apache-2.0",
        )
    ]
