"""Checks that an answer says the requested text, with the requested voice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import soundfile  # noqa: F401 - loads the decoders before the soak begins

from hub.audio.decode import decode as decode_file
from hub.testing import tone

CONTAINERS = ("wav", "pcm", "mp3", "opus", "aac", "flac")
LOSSLESS = {"wav", "pcm", "flac"}
SLACK = 0.15
"""Seconds that a lossy container may add or remove."""

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty", "karst", "lagoon")

_numbers = itertools.count(1)


def sentence(chance: random.Random, words: int = 4) -> str:
    """Return a sentence that no other request has."""
    return f"Number {next(_numbers)} {' '.join(chance.choices(WORDS, k=words))}."


def samples_of(text: str) -> int:
    """Return the number of samples that the tone backend plays for `text` at speed 1."""
    return (2 + len(text.encode())) * tone.SYMBOL


def audio_of(data: bytes, container: str, sample_rate: int) -> tuple[np.ndarray, int]:
    """Return samples and their rate; `sample_rate` is that of bare samples."""
    if container == "pcm":
        return np.frombuffer(data, "<i2") / 32768, sample_rate
    audio = decode_file(data)
    return audio.samples, audio.sample_rate


def difference(data: bytes, container: str, text: str, pitch: int, sample_rate: int = tone.SAMPLE_RATE) -> str:
    """Return the error in the answer to `text`, or ""."""
    samples, rate = audio_of(data, container, sample_rate)
    if container in LOSSLESS and (said := tone.decode(samples, rate)) != text:
        return f"{container} says {said!r} instead of {text!r}"
    seconds, wanted = len(samples) / rate, samples_of(text) / tone.SAMPLE_RATE
    if abs(seconds - wanted) > SLACK:
        return f"{container} is {seconds:.2f} s long instead of {wanted:.2f} s"
    if (found := tone.pitch_of(samples, rate)) != pitch:
        return f"{container} has a voice of {found} Hz instead of {pitch} Hz"
    return ""


def joined_difference(samples: np.ndarray, texts: Sequence[str], pause: float) -> str:
    """Return the error in the audio of `texts` at 24 kHz, joined with `pause` seconds between them, or ""."""
    at, gap = 0, round(pause * tone.SAMPLE_RATE)
    for text in texts:
        piece = samples[at : at + samples_of(text)]
        said = tone.decode(piece, tone.SAMPLE_RATE) if len(piece) > 2 * tone.SYMBOL else ""
        if said != text:
            return f"{said!r} instead of {text!r}"
        at += samples_of(text) + gap
    return "" if at - gap == len(samples) else f"{len(samples)} samples instead of {at - gap}"


def is_beginning(data: bytes, text: str) -> bool:
    """Return True if a broken-off answer (bare samples at 24 kHz) says the beginning of `text`.

    An incomplete last symbol is ignored.
    """
    samples = np.frombuffer(data[: len(data) & ~1], "<i2") / 32768
    count = len(samples) // tone.SYMBOL
    if count < 4:
        return True
    said = tone.decode(samples[: count * tone.SYMBOL], tone.SAMPLE_RATE)
    return text.startswith(said)
