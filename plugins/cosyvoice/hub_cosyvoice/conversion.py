"""Voice conversion: the speech tokens of one recording, made sound by another speaker. No language model takes part."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hub_cosyvoice.features import LONGEST, SHORTEST, Features

WINDOW = 0.02
"""Seconds over which loudness is measured to find a place to cut."""

SEARCH = 5.0
"""Seconds before the end of a part in which it may be cut."""


def source_parts(wave: Tensor, rate: int) -> Iterator[Tensor]:
    """A recording (N,) in parts that the speech tokenizer takes, cut where it is quietest."""
    longest, window = int(LONGEST * rate), int(WINDOW * rate)
    while len(wave) > longest:
        search = wave[longest - int(SEARCH * rate) : longest]
        loudness = search[: len(search) // window * window].reshape(-1, window).square().mean(dim=1)
        cut = longest - int(SEARCH * rate) + int(loudness.argmin()) * window + window // 2
        if len(wave) - cut < SHORTEST * rate:
            cut -= int(SHORTEST * rate)
        yield wave[:cut]
        wave = wave[cut:]
    yield wave


def source_tokens(features: Features, wave: Tensor, rate: int) -> list[int]:
    """All speech tokens of a recording, however long. Raises InvalidAudio for one that cannot be used."""
    parts = [features.speech_tokens(features.listen(part, rate)) for part in source_parts(wave, rate)]
    return [int(token) for token in torch.cat(parts)]
