"""Rendering: the semantic tokens of a batch of segments -> their audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hub_gpt_sovits.features import natural_mel
from hub_gpt_sovits.model.cfm import Cfm
from hub_gpt_sovits.model.dit import MEL, sample_mel
from hub_gpt_sovits.model.join import overlap_add
from hub_gpt_sovits.model.vits import Noise, Vits
from hub_gpt_sovits.networks import Acoustics, Vocoder
from hub_gpt_sovits.voices import ClonedVoice

TOKEN_FRAMES = 2
"""Encoder frames, at 50 a second, of each token, at 25 a second."""


@dataclass(frozen=True)
class Utterance:
    """One segment with its semantic tokens (T,) and its phones (N,)."""

    tokens: Tensor
    phones: Tensor


@dataclass(frozen=True)
class Manner:
    """A manner of rendering: pace, steps of the flow; with `together` v3 and v4 render all segments in one batch."""

    speed: float = 1.0
    steps: int = 32
    together: bool = True


@torch.inference_mode()
def render(
    acoustics: Acoustics, voice: ClonedVoice, batch: Sequence[Utterance], manner: Manner, noise: Noise
) -> list[Tensor]:
    """The waveform of each segment, (N,) float32 in [-1, 1] or a little over."""
    if isinstance(acoustics.model, Vits):
        waves = _render_vits(acoustics.model, voice.sound.style, batch, manner.speed, noise)
    else:
        assert acoustics.vocoder is not None
        prompt = Prompt.of(voice, acoustics.vocoder)
        if manner.together:
            waves = render_together(acoustics.model, acoustics.vocoder, prompt, voice, batch, manner, noise)
        else:
            waves = [
                render_serially(acoustics.model, acoustics.vocoder, prompt, voice, one, manner, noise) for one in batch
            ]
    return [wave.float() for wave in waves]


def _render_vits(model: Vits, style: Tensor, batch: Sequence[Utterance], speed: float, noise: Noise) -> list[Tensor]:
    """The waveform of each segment, (N,). At speed 1 a batch is decoded as one long segment, so that the text of one
    segment can colour the sound of the next.
    """
    if speed != 1:
        return [model.decode(one.tokens[None], one.phones[None], style, noise, speed)[0, 0] for one in batch]
    tokens = torch.cat([one.tokens for one in batch])
    phones = torch.cat([one.phones for one in batch])
    wave = model.decode(tokens[None], phones[None], style, noise)[0, 0]
    lengths = [len(one.tokens) * TOKEN_FRAMES * model.samples_per_frame for one in batch]
    return list(wave[: sum(lengths)].split(lengths))  # some kernels and rates give a little more


@dataclass(frozen=True)
class Prompt:
    """The reference as the flow takes it: mel (1, 100, T) and features (1, C, T), of one length."""

    mel: Tensor
    features: Tensor

    @classmethod
    def of(cls, voice: ClonedVoice, vocoder: Vocoder) -> Prompt:
        """The end of the reference, at most the vocoder's `longest_reference`."""
        assert voice.sound.mel is not None
        assert voice.features is not None
        shared = min(voice.sound.mel.shape[2], voice.features.shape[2])
        begin = max(0, shared - vocoder.longest_reference)
        return cls(voice.sound.mel[:, :, begin:shared], voice.features[:, :, begin:shared])

    @property
    def length(self) -> int:
        """Frames."""
        return self.mel.shape[2]


def render_serially(
    model: Cfm, vocoder: Vocoder, prompt: Prompt, voice: ClonedVoice, one: Utterance, manner: Manner, noise: Noise
) -> Tensor:
    """One segment in stretches, each of which continues the mel of the one before -> (N,)."""
    size = vocoder.window - prompt.length
    features = model.features(one.tokens[None], one.phones[None], voice.sound.style, manner.speed)
    before, mels = prompt, []
    for stretch in features.split(size, 2):
        joined = torch.cat([before.features, stretch], 2)
        drawn = noise((1, MEL, joined.shape[2]))
        mel = sample_mel(model.dit, joined.transpose(1, 2), before.mel, drawn, manner.steps)[:, :, before.length :]
        mels.append(mel)
        before = Prompt(mel[:, :, -prompt.length :], stretch[:, :, -prompt.length :])
    return vocoder.net(natural_mel(torch.cat(mels, 2)))[0, 0]


def render_together(
    model: Cfm,
    vocoder: Vocoder,
    prompt: Prompt,
    voice: ClonedVoice,
    batch: Sequence[Utterance],
    manner: Manner,
    noise: Noise,
) -> list[Tensor]:
    """All segments in one batch of overlapping windows, each of which continues the reference -> (N,) each.

    The overlap-add may shift a window by up to 320 samples, so the last segment comes out a few samples short.
    """
    overlap, hop = vocoder.overlap, vocoder.samples_per_frame
    size = vocoder.window - prompt.length
    features = [model.features(one.tokens[None], one.phones[None], voice.sound.style, manner.speed) for one in batch]
    windows, surplus = _windows(F.pad(torch.cat(features, 2), (overlap, 0)), size, overlap)
    count = windows.shape[0]
    joined = torch.cat([prompt.features.expand(count, -1, -1), windows], 2)
    drawn = noise((count, MEL, joined.shape[2]))
    mel = sample_mel(model.dit, joined.transpose(1, 2), prompt.mel, drawn, manner.steps)[:, :, -size:]
    wave = vocoder.net(natural_mel(mel.transpose(0, 1).flatten(1)[None]))[0, 0]
    wave = overlap_add(wave.split(size * hop), overlap * hop)
    wave = wave[overlap * hop : len(wave) - surplus * hop]
    waves = []
    for one in features:
        waves.append(wave[: one.shape[2] * hop])
        wave = wave[one.shape[2] * hop :]
    return waves


def _windows(features: Tensor, size: int, overlap: int) -> tuple[Tensor, int]:
    """(1, C, T) -> overlapping windows (B, C, size), and the number of frames that pad the last one."""
    windows, position, surplus = [], 0, 0
    while position < features.shape[2]:
        window = features[:, :, position : position + size]
        surplus = size - window.shape[2]
        windows.append(F.pad(window, (0, surplus)))
        position += size - overlap
    return torch.cat(windows), surplus
