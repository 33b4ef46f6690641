"""Joining pieces of speech: the same loudness for all voices, and no clicks.

Loudness is measured as in ITU-R BS.1770: blocks of 0.4 s every 0.1 s, weighted like human hearing, without quiet ones.
The ends of pieces are faded with a raised cosine; a piece keeps its length to the sample.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

FADE = 0.005
"""Seconds of the fade on each side of a join."""

BLOCK, HOP = 0.4, 0.1
"""Seconds of one measurement, and from the start of one to the next."""

ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
"""LUFS below which a block is silence; dB from the mean of the other blocks below which a block is a pause."""

MOST_GAIN = 12.0
"""The most dB by which a voice is made louder or softer."""

_KNEE = 0.9
"""Amplitude above which an amplified voice is compressed, so that it never clips."""


class Edges:
    """Fades one piece in and out while it streams. `feed` holds back the last FADE seconds."""

    def __init__(self, sample_rate: int, *, fade_in: bool, fade_out: bool) -> None:
        self._length = max(1, round(FADE * sample_rate))
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(self._length) + 0.5) / self._length)
        self._ramp = ramp.astype(np.float32)
        self._fade_out = fade_out
        self._faded = 0 if fade_in else self._length
        self._held: Samples = np.zeros(0, dtype=np.float32)

    def feed(self, samples: Samples) -> Samples:
        """Add more of the piece, (N,); return the part that is ready, (M,)."""
        if self._faded < self._length and len(samples):
            part = self._ramp[self._faded : self._faded + len(samples)]
            samples = samples.copy()
            samples[: len(part)] *= part
            self._faded += len(part)
        if not self._fade_out:
            return samples
        samples = np.concatenate([self._held, samples])
        ready = max(0, len(samples) - self._length)
        self._held = samples[ready:]
        return samples[:ready]

    def finish(self) -> Samples:
        """Return the end of the piece, at most FADE seconds."""
        held, self._held = self._held, self._held[:0]
        return held * self._ramp[::-1][len(self._ramp) - len(held) :]


class Loudness:
    """Measures a voice while it speaks."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._block, self._hop = round(BLOCK * sample_rate), round(HOP * sample_rate)
        self._rest: Samples = np.zeros(0, dtype=np.float32)
        self._powers: list[float] = []
        self.seconds = 0.0

    def feed(self, samples: Samples) -> None:
        """Add more of the voice's speech, (N,)."""
        self.seconds += len(samples) / self._rate
        wave = np.concatenate([self._rest, samples])
        start = 0
        while start + self._block <= len(wave):
            self._powers.append(_weighted_power(wave[start : start + self._block], self._rate))
            start += self._hop
        self._rest = wave[start:]

    def pause(self) -> None:
        """End the speech for now. A rest shorter than one block still counts."""
        if len(self._rest) and (not self._powers or len(self._rest) > self._block - self._hop):
            self._powers.append(_weighted_power(self._rest, self._rate))
        self._rest = self._rest[:0]

    @property
    def lufs(self) -> float:
        """The gated loudness so far; minus infinity if there was only silence."""
        powers = np.array(self._powers)
        powers = powers[powers > _power(ABSOLUTE_GATE)]
        if not len(powers):
            return -math.inf
        powers = powers[powers > powers.mean() * 10 ** (RELATIVE_GATE / 10)]
        return _lufs(float(powers.mean()))


def gain(voice: Loudness, wanted: Loudness) -> float:
    """Return the factor that makes `voice` as loud as `wanted`, within MOST_GAIN; 1 if either is unknown."""
    decibels = wanted.lufs - voice.lufs
    if not math.isfinite(decibels):
        return 1.0
    return float(10 ** (max(-MOST_GAIN, min(MOST_GAIN, decibels)) / 20))


def amplify(samples: Samples, factor: float) -> Samples:
    """Return `samples` times `factor`; peaks above the knee are compressed, and stay below 1."""
    if factor == 1.0:
        return samples
    louder = samples * np.float32(factor)
    if factor > 1.0 and (high := np.abs(louder) > _KNEE).any():
        over = (np.abs(louder[high]) - _KNEE) / (1 - _KNEE)
        louder[high] = np.sign(louder[high]) * (_KNEE + (1 - _KNEE) * 0.999 * np.tanh(over))
    return louder


def silence(seconds: float, sample_rate: int) -> Samples:
    """Return zeros, to the nearest sample."""
    return np.zeros(round(seconds * sample_rate), dtype=np.float32)


def _lufs(power: float) -> float:
    return -0.691 + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _weighted_power(samples: Samples, sample_rate: int) -> float:
    """Return the mean square of `samples` after the weighting, by Parseval's theorem."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2 * _weighting(len(samples), sample_rate)
    both = 2 * spectrum.sum() - spectrum[0] - (spectrum[-1] if len(samples) % 2 == 0 else 0.0)
    return float(both) / len(samples) ** 2


@functools.lru_cache(maxsize=8)
def _weighting(length: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the K-weighting of BS.1770 (specified there for 48 kHz) as power gains of a block's frequencies."""
    hertz = np.minimum(np.fft.rfftfreq(length, 1 / sample_rate), 24_000)
    z = np.exp(-2j * np.pi * hertz / 48_000)
    shelf = np.polyval([1.19839281085285, -2.69169618940638, 1.53512485958697], z) / np.polyval(
        [0.73248077421585, -1.69065929318241, 1.0], z
    )
    high_pass = (1 - 2 * z + z * z) / np.polyval([0.99007225036621, -1.99004745483398, 1.0], z)
    return np.asarray(np.abs(shelf * high_pass) ** 2)
