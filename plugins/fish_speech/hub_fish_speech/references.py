"""Recordings to speak like: sound -> codes, and the prepared state of a voice, which the hub keeps for it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import numpy as np
import soundfile
import torch
from torch import Tensor

from hub.contract.errors import InvalidAudio
from hub.nn.features import resample
from hub_fish_speech.codec import Codec
from hub_fish_speech.prompt import Example

_LAYOUT = 1
"""Version of the prepared state."""


class _Recording(msgspec.Struct, array_like=True):
    text: str
    rows: int
    codes: bytes


class _Prepared(msgspec.Struct, array_like=True):
    layout: int
    recordings: list[_Recording]


def read_wave(audio: bytes, sample_rate: int) -> Tensor:
    """A sound file as mono samples at `sample_rate`: (N,) float32.

    The mean of the channels, then a windowed sinc (Hann, width 6, roll-off 0.99), as in the vendor's code. Raises
    InvalidAudio.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise InvalidAudio("the recording is no sound file that can be read") from error
    wave = torch.from_numpy(samples).T.mean(0)
    if not len(wave):
        raise InvalidAudio("the recording is empty")
    return resample(wave, rate, sample_rate, kernel_dtype=torch.float32)


def encode(audio: bytes, codec: Codec) -> Tensor:
    """A sound file's codes (C, T). Raises InvalidAudio."""
    return codec.encode(read_wave(audio, codec.sample_rate))


def pack(examples: Sequence[Example]) -> bytes:
    """The prepared state: msgpack of transcripts and 16-bit codes."""
    recordings = [
        _Recording(example.text, example.codes.shape[0], example.codes.numpy().astype("<u2").tobytes())
        for example in examples
    ]
    return msgspec.msgpack.encode(_Prepared(_LAYOUT, recordings))


def unpack(state: bytes) -> list[Example]:
    """What `pack` packed. Raises InvalidAudio for anything else: the voice must then be prepared anew."""
    try:
        prepared = msgspec.msgpack.decode(state, type=_Prepared)
        return [
            Example(one.text, torch.from_numpy(np.frombuffer(one.codes, "<u2").astype(np.int64).reshape(one.rows, -1)))
            for one in prepared.recordings
        ]
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidAudio("the voice's prepared state cannot be read; save the voice again") from error
