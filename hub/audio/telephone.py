"""The containers for telephony: `ulaw` and `alaw`, G.711 samples of 8 bits at 8 kHz."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hub.audio.container import EncoderSpec, Samples
from hub.audio.pcm import to_s16
from hub.contract.speech import AudioFormat

RATE = 8000

_Levels = NDArray[np.int64]
_Table = NDArray[np.uint8]


def _ulaw_levels() -> _Levels:
    """Return the 16-bit sample of each byte, (256,), by the standard's definition of mu-law."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((code & 0x0F) * 2 + 33 << (code >> 4 & 7)) - 33 << 2
    return np.where(code & 0x80, -magnitude, magnitude)


def _alaw_levels() -> _Levels:
    """Return the same for A-law, which inverts every second bit."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0x0F) * 2 + 1
    magnitude = np.where(exponent, mantissa + 32 << np.maximum(exponent - 1, 0), mantissa) << 3
    return np.where(code & 0x80, magnitude, -magnitude)


@cache
def _table(law: str) -> _Table:
    """Return the byte with the nearest level to each 16-bit sample, (65536,), indexed by the sample's bits."""
    levels = _ulaw_levels() if law == "ulaw" else _alaw_levels()
    order = np.argsort(levels, kind="stable")
    borders = (levels[order][1:] + levels[order][:-1]) / 2
    samples = np.arange(65536).astype("<u2").view("<i2")
    return order[np.searchsorted(borders, samples)].astype(np.uint8)


class TelephoneEncoder:
    """Bare bytes, one per sample."""

    def __init__(self, table: _Table, media_type: str, extension: str, sample_rate: int) -> None:
        self.media_type = media_type
        self.extension = extension
        self.sample_rate = sample_rate
        self._table = table

    def feed(self, samples: Samples) -> bytes:
        """Return the byte of each sample."""
        coded: _Table = self._table[to_s16(samples).view("<u2")]
        return coded.tobytes()

    def finish(self) -> bytes:
        """Return nothing: no samples are held back."""
        return b""

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def _ulaw(format: AudioFormat, sample_rate: int, whole: bool) -> TelephoneEncoder:
    return TelephoneEncoder(_table("ulaw"), ULAW.media_type, ULAW.extension, sample_rate)


def _alaw(format: AudioFormat, sample_rate: int, whole: bool) -> TelephoneEncoder:
    return TelephoneEncoder(_table("alaw"), ALAW.media_type, ALAW.extension, sample_rate)


ULAW = EncoderSpec(name="ulaw", media_type="audio/basic", extension="ulaw", factory=_ulaw, sample_rates=(RATE,))
ALAW = EncoderSpec(name="alaw", media_type="audio/pcma", extension="alaw", factory=_alaw, sample_rates=(RATE,))
TELEPHONE: Mapping[str, EncoderSpec] = {spec.name: spec for spec in (ULAW, ALAW)}
"""The containers for telephony by name; every hub offers them beside those of `BUILTIN`."""
