"""Many callers at once: each gets only its own words, in the voice and the format that it asked for."""

import asyncio
import random
import string

import numpy as np
import pytest

from hub.settings import Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub
from tests.support.callers import AsyncCaller
from tests.support.hearing import hear, word_errors, words

pytestmark = pytest.mark.anyio

FORMATS = [
    {"container": container, "encoding": encoding, **rate}
    for container in ("wav", "pcm")
    for encoding in ("s16le", "f32le")
    for rate in ({}, {"sample_rate": 16_000}, {"sample_rate": 48_000})
]


def a_text(index):
    """Return a unique text of 30 to 200 characters, not all of them ASCII."""
    chance = random.Random(index)
    letters = string.ascii_letters + "  éüß日本語ñ"
    return f"{index}: " + "".join(chance.choices(letters, k=chance.randint(30, 200))) + "."


def samples_of(answer, format):
    """Return the samples of a body, (N,) float, and their rate."""
    body, rate = answer.content, int(answer.headers["x-sample-rate"])
    if format["container"] == "wav":
        body = body[body.index(b"data") + 8 :]
    return np.frombuffer(body, "<i2") / 32768 if format["encoding"] == "s16le" else np.frombuffer(body, "<f4"), rate


async def test_64_callers_at_once_each_hear_their_own_words(served):
    live = served()
    requests = [
        {
            "text": a_text(index),
            "voice": list(tone.PITCHES)[index % 3],
            "format": FORMATS[index % len(FORMATS)],
            "stream": index % 2 == index // len(FORMATS) % 2,
            "seed": index,
        }
        for index in range(64)
    ]
    async with AsyncCaller(live.url) as caller:
        posts = [
            caller.post("/v1/speech", json=request, headers={"X-Request-Id": f"caller-{index}"})
            for index, request in enumerate(requests)
        ]
        answers = await asyncio.gather(*posts)
    for index, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] == f"caller-{index}"
        assert ("content-length" in answer.headers) != request["stream"]
        samples, rate = samples_of(answer, request["format"])
        assert rate == request["format"].get("sample_rate", tone.SAMPLE_RATE)
        assert tone.decode(samples, rate) == request["text"]
        assert tone.pitch_of(samples, rate) == tone.PITCHES[request["voice"]]


SENTENCES = (
    "The ferry to the island leaves every morning at seven.",
    "My grandmother keeps her recipes in an old wooden box.",
    "Please remember to lock the door when you go out.",
    "The teacher asked the students to open their books.",
    "We spent the whole summer by the lake with our friends.",
    "He bought a new jacket because the winter was very cold.",
    "The doctor said that I should drink more water.",
    "There was a long line of people outside the theater.",
    "She plays the piano for an hour before breakfast.",
    "The farmer sold all of his apples at the market.",
    "Nobody answered the phone, so I left a message.",
    "The bridge was closed for repairs until the end of March.",
    "Can you help me carry these boxes to the car?",
    "The old clock on the wall stopped at midnight.",
    "They planted three trees in front of the school.",
    "I have never seen so many stars in the night sky.",
    "The train was late because of the heavy snow.",
    "Our neighbors have a black dog and two white cats.",
    "The baker puts fresh bread on the shelf every day.",
    "It was the best concert that I have ever been to.",
)


async def test_20_sentences_at_once_are_each_heard_as_they_were_written():
    """With the embedded voice and speech recognition, at most 5 % of all words are wrong."""
    with serve_hub(Settings()) as live:
        async with AsyncCaller(live.url) as caller:
            format = {"container": "pcm", "encoding": "f32le"}
            posts = [caller.post("/v1/speech", json={"text": text, "format": format, "seed": 1}) for text in SENTENCES]
            answers = await asyncio.gather(*posts)
    errors = 0
    for sentence, answer in zip(SENTENCES, answers, strict=True):
        assert answer.status_code == 200
        heard = hear(np.frombuffer(answer.content, "<f4"), int(answer.headers["x-sample-rate"]))
        wrong = word_errors(words(sentence), words(heard))
        assert wrong <= len(words(sentence)) / 2, f"{sentence!r} was heard as {heard!r}"
        errors += wrong
    assert errors / sum(len(words(sentence)) for sentence in SENTENCES) <= 0.05
