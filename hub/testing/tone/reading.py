"""Reading tones back: the text and the voice of an audio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hub.testing.tone.symbols import HIGH_BAND, LOW_BAND, SAMPLE_RATE, STEP, SYMBOL


def decode(samples: npt.ArrayLike, sample_rate: int) -> str:
    """Return the text that `samples` (mono, in [-1, 1]) play. Raises ValueError if they are not a tone.

    Works for any codec that keeps time: wav, pcm, flac, any rate from 8 kHz up, 16 bits.
    """
    wave = np.asarray(samples, dtype=np.float64)
    head = SYMBOL * sample_rate / SAMPLE_RATE
    header = _read_symbols(wave[: round(2 * head)], head, sample_rate)
    if len(header) != 2:
        raise ValueError("too short to be a tone")
    length = int.from_bytes(header, "big") * sample_rate / SAMPLE_RATE
    if length <= 0:
        raise ValueError("the header of this tone is damaged")
    return _read_symbols(wave[round(2 * head) :], length, sample_rate).decode()


def pitch_of(samples: npt.ArrayLike, sample_rate: int) -> int:
    """Return the pitch of the hum in Hz, to the nearest 5, which identifies the voice. Needs half a second or more."""
    wave = np.asarray(samples, dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), n=max(len(wave), 2 * sample_rate)))
    hertz = np.fft.rfftfreq(max(len(wave), 2 * sample_rate), 1 / sample_rate)
    hum = (hertz > 80) & (hertz < 500)
    return round(float(hertz[hum][np.argmax(spectrum[hum])]) / 5) * 5


def _read_symbols(wave: npt.NDArray[np.float64], length: float, sample_rate: int) -> bytes:
    """Return the bytes of all symbols of `length` samples in `wave`, by the strongest sine of each band."""
    count = round(len(wave) / length)
    width = int(length)
    starts = np.minimum(np.round(np.arange(count) * length).astype(int), len(wave) - width)
    frames = np.lib.stride_tricks.sliding_window_view(wave, width)[starts] if count else np.zeros((0, width))
    hertz = np.concatenate([LOW_BAND + STEP * np.arange(16), HIGH_BAND + STEP * np.arange(16)])
    sines = np.exp(-2j * np.pi * np.arange(width)[:, None] * hertz / sample_rate) * np.hanning(width + 2)[1:-1, None]
    strength = np.abs(frames @ sines)
    return bytes((strength[:, :16].argmax(1) | strength[:, 16:].argmax(1) << 4).tolist())
