"""Voice conversion: the speech tokens of a recording, in the voice of another speaker. It needs no language model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from hub.nn.recording import Recording
from hub_cosyvoice.model.features import LONGEST, SHORTEST, Features

WINDOW = 0.02
"""Seconds over which loudness is measured in the search for a cut."""

SEARCH = 5.0
"""Seconds before the end of a part in which it may be cut."""


def source_parts(recording: Recording) -> Iterator[Recording]:
    """A recording in parts that the speech tokenizer takes, cut at their quietest moments."""
    samples, rate = recording
    longest, window = int(LONGEST * rate), int(WINDOW * rate)
    while len(samples) > longest:
        search = samples[longest - int(SEARCH * rate) : longest]
        loudness = np.square(search[: len(search) // window * window].reshape(-1, window)).mean(axis=1)
        cut = longest - int(SEARCH * rate) + int(loudness.argmin()) * window + window // 2
        if len(samples) - cut < SHORTEST * rate:
            cut -= int(SHORTEST * rate)
        yield Recording(samples[:cut], rate)
        samples = samples[cut:]
    yield Recording(samples, rate)


def source_tokens(features: Features, recording: Recording) -> list[int]:
    """All speech tokens of a recording of any length. Raises InvalidAudio for one that cannot be used."""
    parts = [features.speech_tokens(features.listen(part)) for part in source_parts(recording)]
    return [int(token) for token in torch.cat(parts)]
