"""A recording for testing backends that clone: the hub's embedded voice reads a sentence."""

from __future__ import annotations

import functools
import io
import threading

import numpy as np
import soundfile

from hub.contract.backend import ModelConfig
from hub.contract.event import AudioChunk
from hub.contract.speech import Reference, ResolvedRequest

TEXT = "This is how I sound when I read a sentence of ordinary length."


@functools.cache
def own_voice() -> Reference:
    """Return TEXT as a reference for a synthesizer: mono float32 WAV, with its transcript."""
    from hub.builtin.hibari.synthesizer import HibariSynthesizer

    synthesizer = HibariSynthesizer()
    synthesizer.load(ModelConfig(name="reference"))
    events = list(synthesizer.speak(ResolvedRequest(text=TEXT, seed=0), threading.Event()))
    synthesizer.close()
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    file = io.BytesIO()
    samples = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<f4")
    soundfile.write(file, samples, chunks[0].sample_rate, format="WAV", subtype="FLOAT")
    return Reference(audio=file.getvalue(), text=TEXT, language="en")
