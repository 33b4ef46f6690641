"""Vorbis in Ogg, by libsndfile: some families' own servers call it `ogg`. libav's wheels have no good encoder for it.

libsndfile returns whole pages of 4 KiB, so the output trails the input by half a second of speech, and by more of
silence, which packs small. For audio without delay, `opus` is the container.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soundfile

from hub.audio.container import EncoderSpec, Samples
from hub.audio.pipe import Pipe
from hub.contract.speech import AudioFormat

BLOCK = 8192
"""Samples passed to libsndfile at a time: it keeps them on the stack, and crashes the process if there are too many."""


class _OggPipe(Pipe):
    """A pipe for libsndfile, which asks for the position but never moves back."""

    def __init__(self) -> None:
        super().__init__()
        self._written = 0

    def write(self, data: Any) -> int:
        count = super().write(data)
        self._written += count
        return count

    def tell(self) -> int:
        return self._written

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._written

    def read(self, size: int = -1) -> bytes:
        return b""


class VorbisEncoder:
    """One stream of Ogg pages at libsndfile's usual quality (0.4: about 60 kbit/s of speech at 32 kHz)."""

    media_type = "audio/ogg; codecs=vorbis"
    extension = "ogg"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._pipe = _OggPipe()
        self._file = soundfile.SoundFile(self._pipe, "w", sample_rate, 1, format="OGG", subtype="VORBIS")

    def feed(self, samples: Samples) -> bytes:
        """Encode (N,) samples; return the pages that are full."""
        if self._file.closed:
            raise ValueError("the encoder is closed")
        sound = np.nan_to_num(np.clip(samples, -1.0, 1.0))
        for begin in range(0, len(sound), BLOCK):
            self._file.write(sound[begin : begin + BLOCK])
        return self._pipe.take()

    def finish(self) -> bytes:
        """Return the last pages."""
        if self._file.closed:
            raise ValueError("the encoder is closed")
        self._file.close()
        return self._pipe.take()

    def close(self) -> None:
        """Free libsndfile's resources."""
        self._file.close()


def _vorbis(format: AudioFormat, sample_rate: int, whole: bool) -> VorbisEncoder:
    return VorbisEncoder(sample_rate)


VORBIS = EncoderSpec(
    name="vorbis", media_type=VorbisEncoder.media_type, extension=VorbisEncoder.extension, factory=_vorbis
)
"""Every hub offers it beside the containers of `BUILTIN`."""
