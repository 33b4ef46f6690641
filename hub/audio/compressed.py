"""The compressed containers, by libav: mp3, opus (in ogg), aac (ADTS) and flac.

While streaming, the decodable output trails the samples fed by at most:

    mp3    3 frames of 576 samples (1152 from 32 kHz up): the encoder looks ahead; 72 ms at 24 kHz
    opus   2 frames, and pages, of 20 ms: the muxer keeps one page until it knows that another follows; 40 ms
    aac    3 frames of 1024 samples: the encoder looks ahead, and readers want the next header; 128 ms at 24 kHz
    flac   1 frame of 40 ms
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from hub.audio.container import EncoderSpec, Samples
from hub.audio.pcm import to_s16
from hub.audio.pipe import Pipe
from hub.contract.speech import AudioFormat


@dataclass(frozen=True)
class _Codec:
    """libav's settings for one container, with muxer and encoder options for streams and for whole files."""

    media_type: str
    extension: str
    muxer: str
    encoder: str
    sample_format: str
    stream_muxing: dict[str, str]
    whole_muxing: dict[str, str]
    stream_coding: dict[str, str]
    whole_coding: dict[str, str]


class LibavEncoder:
    """One libav encoder and muxer, writing to memory."""

    def __init__(self, codec: _Codec, sample_rate: int, bitrate: int | None, whole: bool) -> None:
        self.media_type = codec.media_type
        self.extension = codec.extension
        self.sample_rate = sample_rate
        self._sample_format = codec.sample_format
        self._container: OutputContainer | None = None
        # whole: libav seeks back in the file to write lengths into the header; in a stream it rewrites nothing
        self._sink: Pipe | io.BytesIO = io.BytesIO() if whole else Pipe()
        muxing = codec.whole_muxing if whole else codec.stream_muxing
        coding = codec.whole_coding if whole else codec.stream_coding
        self._container = av.open(self._sink, "w", format=codec.muxer, options=muxing)
        self._stream = cast(AudioStream, self._container.add_stream(codec.encoder, rate=sample_rate, options=coding))
        context = self._stream.codec_context
        context.layout = "mono"
        context.format = codec.sample_format
        context.thread_count = 1  # many streams share the machine; one second of speech takes milliseconds
        if bitrate is not None:
            context.bit_rate = bitrate * 1000
        self._container.start_encoding()
        self._fed = 0

    def feed(self, samples: Samples) -> bytes:
        """Encode (N,) samples; return the packets that are ready."""
        if self._container is None:
            raise ValueError("the encoder is closed")
        if samples.size:
            self._container.mux(self._stream.encode(self._frame(samples)))
        return self._take()

    def _take(self) -> bytes:
        return self._sink.take() if isinstance(self._sink, Pipe) else b""

    def _frame(self, samples: Samples) -> av.AudioFrame:
        array: Any
        if self._sample_format == "s16":
            array = to_s16(samples)
        else:
            array = np.nan_to_num(np.clip(samples, -1.0, 1.0), copy=False)  # AAC stops at a NaN
        frame = av.AudioFrame.from_ndarray(array[np.newaxis], format=self._sample_format, layout="mono")
        frame.sample_rate = self.sample_rate
        frame.pts = self._fed
        self._fed += samples.size
        return frame

    def finish(self) -> bytes:
        """Return the remaining packets and the trailer; of a whole file, the complete body."""
        if self._container is None:
            raise ValueError("the encoder is closed")
        self._container.mux(self._stream.encode(None))
        self.close()
        return self._sink.take() if isinstance(self._sink, Pipe) else self._sink.getvalue()

    def close(self) -> None:
        """Free libav's resources now, not when the garbage collector runs."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def __del__(self) -> None:
        # libav writes its trailer when it is freed; by then the garbage collector may have freed the sink
        # (which crashes the process with PyAV before 17.1)
        with suppress(Exception):
            self.close()


_FLUSH = {"flush_packets": "1"}  # every packet leaves libav's own buffer at once
_SOUND_AAC = {"aac_coder": "fast"}  # the default coder doubles the level of a pure tone at 32 kHz and 64 kbit/s
_BARE_FLAC = {"metadata_header_padding": "0"}  # no 8 KiB of padding for tags before the first sample

_MP3 = _Codec(
    media_type="audio/mpeg",
    extension="mp3",
    muxer="mp3",
    encoder="libmp3lame",
    sample_format="fltp",
    stream_muxing=_FLUSH | {"write_xing": "0", "id3v2_version": "0"},
    whole_muxing={"id3v2_version": "0"},  # with the Xing header, so that players cut off the encoder's padding
    stream_coding={"reservoir": "0"},  # a frame that borrows bits from the next ones has to wait for them
    whole_coding={},
)
_OPUS = _Codec(
    media_type="audio/ogg; codecs=opus",
    extension="ogg",
    muxer="ogg",
    encoder="libopus",
    sample_format="flt",
    stream_muxing=_FLUSH | {"page_duration": "20000"},  # microseconds; the muxer's default is one page per second
    whole_muxing={"fflags": "+bitexact"},  # else each file has a random serial number
    stream_coding={},
    whole_coding={},
)
_AAC = _Codec(
    media_type="audio/aac",
    extension="aac",
    muxer="adts",
    encoder="aac",
    sample_format="fltp",
    stream_muxing=_FLUSH,
    whole_muxing={},
    stream_coding=_SOUND_AAC,
    whole_coding=_SOUND_AAC,
)
_FLAC = _Codec(
    media_type="audio/flac",
    extension="flac",
    muxer="flac",
    encoder="flac",
    sample_format="s16",
    stream_muxing=_FLUSH | _BARE_FLAC,
    whole_muxing=_BARE_FLAC,
    stream_coding={},
    whole_coding={},
)

_MPEG1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG25 = (8, 16, 24, 32, 40, 48, 56, 64)


def _mp3_bitrates(sample_rate: int) -> Sequence[int]:
    if sample_rate >= 32_000:
        return _MPEG1
    return _MPEG2 if sample_rate >= 16_000 else _MPEG25


def _opus_bitrates(sample_rate: int) -> Sequence[int]:
    return range(8, 257)


def _aac_bitrates(sample_rate: int) -> Sequence[int]:
    return range(8, 6 * sample_rate // 1000 + 1)  # a frame of 1024 samples holds at most 6144 bits


def _mp3(format: AudioFormat, sample_rate: int, whole: bool) -> LibavEncoder:
    usual = 128 if sample_rate >= 32_000 else 96 if sample_rate >= 16_000 else 48
    return LibavEncoder(_MP3, sample_rate, format.bitrate or usual, whole)


def _opus(format: AudioFormat, sample_rate: int, whole: bool) -> LibavEncoder:
    return LibavEncoder(_OPUS, sample_rate, format.bitrate or 48, whole)


def _aac(format: AudioFormat, sample_rate: int, whole: bool) -> LibavEncoder:
    return LibavEncoder(_AAC, sample_rate, format.bitrate or min(128, sample_rate // 250), whole)


def _flac(format: AudioFormat, sample_rate: int, whole: bool) -> LibavEncoder:
    codec = replace(_FLAC, stream_coding={"frame_size": str(sample_rate // 25)})  # libav's own choice is 105 ms
    return LibavEncoder(codec, sample_rate, None, whole)


MP3 = EncoderSpec(
    name="mp3",
    media_type=_MP3.media_type,
    extension=_MP3.extension,
    factory=_mp3,
    sample_rates=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    bitrates=_mp3_bitrates,
)
OPUS = EncoderSpec(
    name="opus",
    media_type=_OPUS.media_type,
    extension=_OPUS.extension,
    factory=_opus,
    sample_rates=(8000, 12000, 16000, 24000, 48000),
    bitrates=_opus_bitrates,
)
AAC = EncoderSpec(
    name="aac",
    media_type=_AAC.media_type,
    extension=_AAC.extension,
    factory=_aac,
    sample_rates=(7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    bitrates=_aac_bitrates,
)
FLAC = EncoderSpec(name="flac", media_type=_FLAC.media_type, extension=_FLAC.extension, factory=_flac)
