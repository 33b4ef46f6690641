"""Streams of an engine with the tone backend: requests, all events, and the text that they speak."""

import numpy as np

from hub.contract import AudioChunk, ResolvedRequest
from hub.testing import tone


def request_for(text="hello", **options):
    """Return a request with the options of the tone backend."""
    return ResolvedRequest(text=text, options=options)


async def collect(stream):
    """Return all events of a stream."""
    return [event async for event in stream]


def spoken(events):
    """Return the text that the audio among `events` speaks."""
    pcm = b"".join(event.pcm for event in events if isinstance(event, AudioChunk))
    return tone.decode(np.frombuffer(pcm, "<f4"), tone.SAMPLE_RATE)
