"""WAV: its header, written and read, and the container `wav`. Sample-exact, without latency."""

from __future__ import annotations

import struct
from typing import NamedTuple

from hub.audio.container import EncoderSpec, Samples
from hub.audio.pcm import PACK
from hub.contract.speech import AudioFormat

UNKNOWN_SIZE = 0xFFFF_FFFF
"""Size field of a WAV of unknown length, as ffmpeg writes it to a pipe and players understand it."""


def wav_header(sample_rate: int, encoding: str, data_bytes: int | None = None) -> bytes:
    """Return the RIFF/WAVE header of mono audio; `data_bytes` None means a stream of unknown length."""
    width = 2 if encoding == "s16le" else 4
    layout = (1, sample_rate, sample_rate * width, width, 8 * width)
    if encoding == "s16le":
        format_chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, *layout)
    else:  # IEEE float: the standard asks for an extension size and a `fact` chunk with the length in samples
        length = UNKNOWN_SIZE if data_bytes is None else min(data_bytes // width, UNKNOWN_SIZE)
        format_chunk = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, *layout, 0)
        format_chunk += struct.pack("<4sII", b"fact", 4, length)
    if data_bytes is None:
        data_bytes = riff_bytes = UNKNOWN_SIZE
    else:
        riff_bytes = min(4 + len(format_chunk) + 8 + data_bytes, UNKNOWN_SIZE)
        data_bytes = min(data_bytes, UNKNOWN_SIZE)
    return struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE") + format_chunk + struct.pack("<4sI", b"data", data_bytes)


class WavFacts(NamedTuple):
    """The facts in the header of a WAV."""

    sample_rate: int
    seconds: float


def wav_facts(wav: bytes) -> WavFacts:
    """Read the first bytes of a mono 32-bit float WAV that the hub wrote (`to_wav_f32`)."""
    head = wav[:128]
    rate = int.from_bytes(head[24:28], "little")
    return WavFacts(rate, int.from_bytes(head.partition(b"data")[2][:4], "little") / 4 / rate)


def is_hub_wav(wav: bytes) -> bool:
    """Return True if `wav` is mono 32-bit float WAV with exactly the header that the hub writes."""
    size = len(wav) - len(wav_header(1, "f32le", 0))
    return size >= 0 and wav.startswith(wav_header(int.from_bytes(wav[24:28], "little"), "f32le", size))


class WavEncoder:
    """A streamed WAV: the header comes with the first samples and leaves the length open."""

    media_type = "audio/wav"
    extension = "wav"

    def __init__(self, format: AudioFormat, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._pack = PACK[format.encoding]
        self._header = wav_header(sample_rate, format.encoding)

    def feed(self, samples: Samples) -> bytes:
        """Return the packed samples, the first time after the header."""
        if self._header:
            header, self._header = self._header, b""
            return header + self._pack(samples)
        return self._pack(samples)

    def finish(self) -> bytes:
        """Return the header if nothing was fed, else nothing."""
        header, self._header = self._header, b""
        return header

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


class WholeWavEncoder:
    """A WAV with exact sizes: `finish` returns all of it."""

    media_type = "audio/wav"
    extension = "wav"

    def __init__(self, format: AudioFormat, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._encoding = format.encoding
        self._pack = PACK[format.encoding]
        self._parts: list[bytes] = []

    def feed(self, samples: Samples) -> bytes:
        """Keep the samples for `finish`."""
        self._parts.append(self._pack(samples))
        return b""

    def finish(self) -> bytes:
        """Return the whole file."""
        header = wav_header(self.sample_rate, self._encoding, sum(map(len, self._parts)))
        body = b"".join((header, *self._parts))
        self._parts.clear()
        return body

    def close(self) -> None:
        """Drop the samples."""
        self._parts.clear()


def _wav(format: AudioFormat, sample_rate: int, whole: bool) -> WavEncoder | WholeWavEncoder:
    return WholeWavEncoder(format, sample_rate) if whole else WavEncoder(format, sample_rate)


WAV = EncoderSpec(name="wav", media_type="audio/wav", extension="wav", factory=_wav, encodings=("s16le", "f32le"))
