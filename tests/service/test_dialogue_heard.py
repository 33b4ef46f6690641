"""A real dialogue, with pauses and a pronunciation, as a listener hears it."""

import itertools

import numpy as np
import pytest

from hub.contract import AudioChunk, Mark, SpeechRequest, Turn
from tests.support.hearing import hear, word_error_rate

pytestmark = pytest.mark.anyio


async def test_a_listener_understands_a_dialogue_of_the_embedded_voice(hubs):
    hub = await hubs(models={})
    turns = (
        Turn(speaker="Ann", voice="heart", text="Good morning. Did you sleep well in the new house?"),
        Turn(speaker="Ben", voice="heart", text="Very well, thank you. [pause:700ms] Where is the GWTZ?"),
        Turn(speaker="Ann", text="It is on the kitchen table, next to the bread."),
    )
    request = SpeechRequest(turns=turns, gap=0.6, seed=1, pronunciations={"GWTZ": "garden key"})
    events = [event async for event in await hub.speak(request)]
    samples = np.concatenate([np.frombuffer(event.pcm, "<f4") for event in events if isinstance(event, AudioChunk)])
    said = (
        "Good morning. Did you sleep well in the new house? Very well, thank you. Where is the garden key? "
        "It is on the kitchen table, next to the bread."
    )
    assert word_error_rate(said, hear(samples, 24_000)) <= 0.1
    segments = [event for event in events if isinstance(event, Mark) and event.kind == "segment"]
    assert [mark.speaker for mark in segments] == ["Ann", "Ben", "Ben", "Ann"]
    assert segments[2].text == "Where is the GWTZ?"
    for mark, words in zip(segments, said.replace("? ", "?|").replace("you. ", "you.|").split("|"), strict=True):
        part = samples[round(mark.start * 24_000) : round(mark.end * 24_000)]
        assert word_error_rate(words, hear(part, 24_000)) <= 0.2
    gaps = itertools.pairwise(segments)
    assert [round(after.start - before.end, 3) for before, after in gaps] == [0.6, 0.7, 0.6]
