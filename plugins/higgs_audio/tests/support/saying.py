"""Speaking with a synthesizer in the test's own process."""

import threading

import numpy as np

from hub.contract import AudioChunk, Done, Reference, ResolvedRequest
from hub.testing.own_voice import own_voice

TEXT = "The hub speaks, and every word is heard."
LONG = "One sentence is here. Another one follows it. A third one is said. The fourth ends it all, at last."


def say(synthesizer, text=TEXT, stop=None, **fields):
    """The chunks, and the report."""
    fields = {"seed": 7, **fields}
    if "turns" not in fields:
        fields["text"] = text
    events = list(synthesizer.speak(ResolvedRequest(**fields), stop or threading.Event()))
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    report = events[-1].report if events and isinstance(events[-1], Done) else None
    return chunks, report


def samples(chunks):
    """Their audio."""
    return np.concatenate([np.frombuffer(chunk.pcm, "<f4") for chunk in chunks])


def reference(text="This is how I sound."):
    """A recording of a voice."""
    return Reference(audio=own_voice().audio, text=text)
