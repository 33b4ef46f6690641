"""Streaming: audio while S1 still decodes. Chunks of tokens are decoded with an overlap and joined without a seam.

Every chunk runs the encoder over all tokens so far and decodes the newest frames only. For v1, v2 and v2Pro; v3 and v4
stream whole segments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hub_gpt_sovits.decoding import RowState
from hub_gpt_sovits.model.join import joined_pair
from hub_gpt_sovits.model.prior import paced
from hub_gpt_sovits.model.vits import NOISE_SCALE, Noise, Vits
from hub_gpt_sovits.rendering import TOKEN_FRAMES

LEAST = 10
"""The fewest tokens with which a chunk after the first is decoded: a shorter chunk gets more overlap."""

AFTER_CUT = 2
"""Tokens that must follow before a cut at a pause."""


@dataclass(frozen=True)
class StreamRules:
    """The rules for cutting tokens and joining chunks.

    `at_pauses` cuts where the tokens are pauses (mode 2), else every `chunk` tokens (mode 3). `growth` makes each chunk
    longer than the last, up to `largest`. `as_upstream` does as the family's code even where that is audible: tokens
    after a pause are spoken before the cut and again after it, the last chunk is not blended, overlapping frames get
    new noise, and the weights of the blend add up to more than 1.
    """

    chunk: int = 16
    overlap: int = 2
    at_pauses: bool = False
    growth: float = 1.0
    largest: int = 64
    as_upstream: bool = False


def token_chunks(
    states: Iterator[list[RowState]], mute_scores: Tensor, rules: StreamRules
) -> Iterator[tuple[list[int], bool]]:
    """The tokens of one row, chunk by chunk, each with True if it is the last; the last one may be empty."""
    sent, size = 0, rules.chunk
    new: list[int] = []
    for (row,) in states:
        new = row.new
        if row.done:
            yield new[sent:], True
            return
        waiting = len(new) - sent
        if rules.at_pauses:
            cut = _pause(new[sent:], mute_scores, size) if waiting >= size + AFTER_CUT else 0
            if cut:
                yield new[sent:] if rules.as_upstream else new[sent : sent + cut], False
                sent += cut
                size = _grown(size, rules)
        elif waiting >= size:
            yield new[sent:], False
            sent = len(new)
            size = _grown(size, rules)


def _grown(size: int, rules: StreamRules) -> int:
    return size if rules.growth == 1 else max(size, min(rules.largest, int(size * rules.growth)))


def _pause(tokens: list[int], mute_scores: Tensor, least: int) -> int:
    """The number of tokens up to the best pause, 0 for none. A pause is two neighbours that both sound like silence."""
    score = mute_scores[torch.tensor(tokens)].clone()
    score[score < 0] = -1
    score[:-1] += score[1:].clone()
    best = int(score.argmax())
    return best + 1 if float(score[best]) >= 0 and best + 1 >= least else 0


class ChunkDecoder:
    """Decodes the growing tokens of one segment; keeps the frames and noise that the next chunk is blended with."""

    def __init__(self, model: Vits, phones: Tensor, style: Tensor, speed: float, rules: StreamRules, noise: Noise):
        self._model, self._style, self._speed, self._rules, self._noise = model, style, speed, rules, noise
        with torch.inference_mode():
            self._text = model.enc_p.read(phones[None])
        self._tokens: list[int] = []
        self._frames: Tensor | None = None  # encoder output of the last chunk, (1, C, T)
        self._drawn: Tensor | None = None  # its noise
        self.samples_per_token = model.samples_per_frame * TOKEN_FRAMES / speed
        self.overlap = math.ceil(rules.overlap * self.samples_per_token)

    @torch.inference_mode()
    def decode(self, new: list[int]) -> Tensor:
        """Audio (N,) of the `new` tokens, after the overlap with the chunk before, if there was one."""
        first = self._frames is None
        self._tokens += new
        overlap = self._rules.overlap + (0 if first else max(0, LEAST - len(new)))
        codes = torch.tensor([self._tokens], device=self._style.device)
        frames = self._model.frames(codes, self._text, self._style)
        if self._frames is not None:
            frames = self._blended(frames[:, :, -(len(new) + overlap) * TOKEN_FRAMES :], overlap * TOKEN_FRAMES)
        self._frames = frames
        mean, log = self._model.enc_p.moments(paced(frames, self._speed))
        drawn = self._continued(mean, overlap)
        z = self._model.flow.reverse(mean + drawn * log.exp() * NOISE_SCALE, None, self._style)
        wave = self._model.dec(z, self._style)[0, 0].float()
        if overlap > self._rules.overlap:
            wave = wave[-int((self._rules.overlap + len(new)) * self.samples_per_token) :]
        return wave

    def _blended(self, frames: Tensor, overlap: int) -> Tensor:
        """These frames, faded in from the last chunk's where both overlap."""
        assert self._frames is not None
        old = self._frames[:, :, -overlap:]
        count = min(old.shape[-1], frames.shape[-1])
        wave = torch.sin(torch.arange(2 * old.shape[-1], device=frames.device) * torch.pi / (2 * old.shape[-1]))
        rise, fall = wave[: old.shape[-1]], wave[old.shape[-1] :]
        if not self._rules.as_upstream:
            rise, fall = rise.square(), fall.square()  # together 1
        head = rise[:count] * frames[:, :, :count] + fall[:count] * old[:, :, :count]
        return torch.cat([head.to(frames.dtype), frames[:, :, count:]], -1)

    def _continued(self, mean: Tensor, overlap: int) -> Tensor:
        """Noise for these frames; the overlap keeps its noise of the last chunk, so that both decode to one sound."""
        if self._rules.as_upstream or self._drawn is None:
            self._drawn = self._noise(mean.shape)
            return self._drawn
        shared = min(int(overlap * TOKEN_FRAMES / self._speed), self._drawn.shape[-1], mean.shape[-1])
        fresh = self._noise((*mean.shape[:2], mean.shape[-1] - shared))
        self._drawn = torch.cat([self._drawn[:, :, self._drawn.shape[-1] - shared :], fresh], -1)
        return self._drawn


def joined_chunks(
    decoder: ChunkDecoder, chunks: Iterator[tuple[list[int], bool]], *, blend_last: bool = True
) -> Iterator[Tensor]:
    """Audio (N,) of each token chunk of a segment, without its end, into which the next chunk is blended."""
    overlap = decoder.overlap
    last: Tensor | None = None
    for tokens, final in chunks:
        if not tokens:
            if last is not None:
                yield last[-overlap:]
            return
        wave = decoder.decode(tokens)
        if last is None:
            yield wave if final else wave[:-overlap]
        elif final and not blend_last:
            yield wave
        else:
            _, joined = joined_pair(last[-overlap:], wave, overlap)
            yield joined if final else joined[:-overlap]
        last = wave
