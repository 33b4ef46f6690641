"""Packing answers: `check_format` before any synthesis, then `make_encoder` or `encode_whole`."""

from __future__ import annotations

from collections.abc import Mapping

from hub.audio.compressed import AAC, FLAC, MP3, OPUS
from hub.audio.container import Encoder, EncoderFactory, EncoderSpec, Samples
from hub.audio.pcm import PCM
from hub.audio.resample import Resampled
from hub.audio.wav import WAV
from hub.contract.errors import InvalidRequest
from hub.contract.speech import AudioFormat

__all__ = [
    "BUILTIN",
    "Encoder",
    "EncoderFactory",
    "EncoderSpec",
    "check_format",
    "encode_whole",
    "make_encoder",
]

BUILTIN: Mapping[str, EncoderSpec] = {spec.name: spec for spec in (WAV, PCM, MP3, OPUS, AAC, FLAC)}
"""The containers that every hub offers, by name."""


def check_format(format: AudioFormat, encoders: Mapping[str, EncoderSpec] = BUILTIN) -> EncoderSpec:
    """Return the container that `format` names. `make_encoder` can make any format that passes, at any source rate.

    Raises InvalidRequest, listing the allowed values, for an unknown container, or for a sample rate, an encoding or
    a bitrate that the container cannot carry.
    """
    spec = encoders.get(format.container)
    if spec is None:
        raise InvalidRequest(
            f"unknown container {format.container!r}; choose one of {', '.join(sorted(encoders))}",
            field="format.container",
            value=format.container,
            allowed=sorted(encoders),
        )
    spec.check(format)
    return spec


def make_encoder(
    format: AudioFormat,
    source_rate: int,
    *,
    whole: bool = False,
    encoders: Mapping[str, EncoderSpec] = BUILTIN,
) -> Encoder:
    """Return an encoder that is fed at `source_rate` Hz and packs as `format` says, resampling if necessary.

    `whole` promises that nothing is sent before `finish`; headers then state the exact length. Raises InvalidRequest
    as `check_format` does.
    """
    spec = check_format(format, encoders)
    rate = spec.output_rate(format, source_rate)
    encoder = spec.factory(format, rate, whole)
    return encoder if rate == source_rate else Resampled(encoder, source_rate)


def encode_whole(
    format: AudioFormat,
    source_rate: int,
    samples: Samples,
    encoders: Mapping[str, EncoderSpec] = BUILTIN,
) -> bytes:
    """Return `samples`, (N,) at `source_rate` Hz, as one complete file."""
    encoder = make_encoder(format, source_rate, whole=True, encoders=encoders)
    try:
        return encoder.feed(samples) + encoder.finish()
    finally:
        encoder.close()
