"""Changing the sample rate, by soxr at its very-high quality setting."""

from __future__ import annotations

import numpy as np
import soxr

from hub.audio.container import Encoder, Samples

_NOTHING: Samples = np.empty(0, np.float32)


class Resampled:
    """An encoder that is fed at another rate than its own.

    The filter is linear-phase and works in blocks: while streaming, its output trails its input by some 20 to 100 ms,
    without a shift in time. `finish` returns the rest; the whole has N * out / in samples, rounded.
    """

    def __init__(self, encoder: Encoder, source_rate: int) -> None:
        self.media_type = encoder.media_type
        self.extension = encoder.extension
        self.sample_rate = encoder.sample_rate
        self._encoder = encoder
        self._stream = soxr.ResampleStream(source_rate, encoder.sample_rate, 1, dtype="float32", quality="VHQ")

    def feed(self, samples: Samples) -> bytes:
        """Add (N,) samples at the source's rate; return the bytes that are ready."""
        return self._encoder.feed(self._stream.resample_chunk(samples))

    def finish(self) -> bytes:
        """Return the rest from the filter and the encoder."""
        return self._encoder.feed(self._stream.resample_chunk(_NOTHING, last=True)) + self._encoder.finish()

    def close(self) -> None:
        """Close the encoder."""
        self._encoder.close()


def resample(samples: Samples, source_rate: int, sample_rate: int) -> Samples:
    """Resample (N,) at `source_rate` Hz to (N * sample_rate / source_rate, rounded,) at `sample_rate` Hz."""
    if source_rate == sample_rate:
        return samples
    resampled: Samples = soxr.resample(samples, source_rate, sample_rate, quality="VHQ")
    return resampled
