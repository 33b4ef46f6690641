"""Decoding any upload to mono 32-bit float, within limits: by soundfile if it knows the format, else by libav.

Nothing in an upload is trusted. Its size is checked before it is opened, its rate and channels before a sample is
decoded, and its length while decoding, whatever its header says. Data is read from memory only: playlists and other
formats that name further files or addresses are not opened.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import av.logging
import numpy as np
import soundfile
from msgspec import Struct
from numpy.typing import NDArray

from hub.audio.container import Samples
from hub.audio.damage import find_damage
from hub.audio.wav import wav_header
from hub.contract.errors import InvalidAudio, TooLarge

READABLE = "wav, flac, mp3, ogg, opus, m4a, webm, aac, aiff, au or caf"


class DecodeLimits(Struct, kw_only=True, frozen=True):
    """The limits for an upload. Rates are in Hz, `bytes` is the size of the file, `seconds` the length of its audio."""

    bytes: int = 64 * 1024 * 1024
    seconds: float = 120.0
    channels: int = 8
    min_rate: int = 4000
    max_rate: int = 192_000


class Audio(Struct, frozen=True):
    """Decoded audio: mono float32, (N,), N > 0, all finite, at `sample_rate` Hz."""

    samples: Samples
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate


def decode(data: bytes, *, limits: DecodeLimits = DecodeLimits()) -> Audio:  # noqa: B008 - it is frozen
    """Decode `data` at its own sample rate, with its channels averaged into one.

    Raises TooLarge if `data` is over `limits.bytes`, and InvalidAudio, with the reason, if it is not audio, is empty
    or cut off, is over another limit, or holds NaN or infinite samples.
    """
    if len(data) > limits.bytes:
        raise TooLarge(
            f"the recording has {len(data)} bytes; at most {limits.bytes} are accepted: send a shorter one",
            bytes=len(data),
            limit=limits.bytes,
        )
    if not data:
        raise InvalidAudio("the recording is empty: it has no bytes")
    if damage := find_damage(data):
        raise InvalidAudio(f"the recording is damaged: {damage}; send the complete file")
    audio = _by_soundfile(data, limits) or _by_libav(data, limits)
    if not audio.samples.size:
        raise InvalidAudio("the recording is empty: it has no samples")
    if not np.isfinite(audio.samples).all():
        raise InvalidAudio("the recording holds NaN or infinite samples; export it again as finite numbers")
    return audio


def to_wav_f32(audio: Audio) -> bytes:
    """Return mono 32-bit float WAV, the form in which a synthesizer gets `Reference.audio`."""
    data = audio.samples.astype("<f4", copy=False).tobytes()
    return wav_header(audio.sample_rate, "f32le", len(data)) + data


class _Collector:
    """Mixes blocks to mono and collects them, up to the limit."""

    def __init__(self, sample_rate: int, channels: int, limits: DecodeLimits) -> None:
        if not limits.min_rate <= sample_rate <= limits.max_rate:
            raise InvalidAudio(
                f"the recording's sample rate is {sample_rate} Hz; it must be {limits.min_rate} to {limits.max_rate}",
                sample_rate=sample_rate,
            )
        if not 1 <= channels <= limits.channels:
            raise InvalidAudio(
                f"the recording has {channels} channels; at most {limits.channels} are accepted, and one is best",
                channels=channels,
            )
        self.sample_rate = sample_rate
        self.channels = channels
        self._limits = limits
        self._room = int(limits.seconds * sample_rate)
        self._blocks: list[Samples] = []

    def add(self, block: NDArray[np.float32]) -> None:
        """Add a block, (N, channels). Raises InvalidAudio over the limit."""
        self._room -= len(block)
        if self._room < 0:
            raise InvalidAudio(
                f"the recording is longer than {self._limits.seconds:g} seconds; send a shorter one",
                limit=self._limits.seconds,
            )
        self._blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32))

    @property
    def length(self) -> int:
        """The number of samples so far."""
        return sum(map(len, self._blocks))

    def audio(self) -> Audio:
        """Return all blocks as one."""
        blocks = self._blocks or [np.empty(0, np.float32)]
        return Audio(np.ascontiguousarray(np.concatenate(blocks)), self.sample_rate)


# ---- soundfile ------------------------------------------------------------------------------------------------------

_SOUNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"}
_BLOCK = 1 << 16
_MOST_FRAMES = 1 << 40  # a FLAC or an MP3 of unknown length claims more than any file can hold


def _by_soundfile(data: bytes, limits: DecodeLimits) -> Audio | None:
    """Decode with soundfile; None if it does not know the format, or the length."""
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except (soundfile.LibsndfileError, ValueError):
        return None
    with file:
        if file.format not in _SOUNDFILE_FORMATS or file.frames > _MOST_FRAMES:
            return None
        found = _Collector(file.samplerate, file.channels, limits)
        try:
            while (block := file.read(_BLOCK, dtype="float32", always_2d=True)).size:
                found.add(block)
        except soundfile.LibsndfileError as error:
            raise InvalidAudio("the recording is damaged: it cannot be decoded to its end") from error
        if found.length < file.frames:
            raise InvalidAudio(
                f"the recording is cut off: it has {found.length} of its {file.frames} samples; send the complete file"
            )
        return found.audio()


# ---- libav ----------------------------------------------------------------------------------------------------------

_LIBAV_FORMATS = "aac,aiff,amr,au,caf,flac,matroska,webm,mov,mp3,ogg,w64,wav"
_LIBAV_CODECS = (
    "aac,aac_latm,ac3,eac3,alac,flac,mp3,mp3float,mp2,mp2float,opus,libopus,vorbis,libvorbis,amrnb,amrwb,wmav2,gsm_ms,"
    "pcm_s8,pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,"
    "pcm_alaw,pcm_mulaw,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt"
)
_SCALE = {"u8": 1 / 128, "s16": 1 / 32768, "s32": 1 / 2147483648, "flt": 1.0, "dbl": 1.0}


def _refuse_other_files(*_: Any) -> Any:
    raise PermissionError("an upload may not open other files")


def _by_libav(data: bytes, limits: DecodeLimits) -> Audio:
    whitelists = {"format_whitelist": _LIBAV_FORMATS, "codec_whitelist": _LIBAV_CODECS, "protocol_whitelist": "none"}
    try:
        with av.open(
            io.BytesIO(data), "r", options=whitelists, io_open=_refuse_other_files, metadata_errors="replace"
        ) as container:
            if not container.streams.audio:
                raise InvalidAudio("the file contains no audio")
            return _decode_stream(container, container.streams.audio[0], limits)
    except (av.FFmpegError, ValueError, PermissionError) as error:
        raise InvalidAudio(f"the file is damaged, or not audio in a known format; send {READABLE}") from error


def _decode_stream(container: Any, stream: Any, limits: DecodeLimits) -> Audio:
    stream.thread_count = 1
    found: _Collector | None = None
    if stream.codec_context.sample_rate and stream.codec_context.channels:
        found = _Collector(stream.codec_context.sample_rate, stream.codec_context.channels, limits)
    for rate, block in _blocks(container, stream):
        if found is None or not found.length:  # the first frame is more reliable than the header (HE-AAC)
            found = _Collector(rate, block.shape[1], limits)
        if (rate, block.shape[1]) != (found.sample_rate, found.channels):
            raise InvalidAudio("the recording changes its sample rate or channels midway; export it again")
        found.add(block)
    if found is None:
        raise InvalidAudio("the recording is empty: it has no samples")
    if "mov" in container.format.name or "matroska" in container.format.name:
        _check_length(container, found)
    return found.audio()


def _blocks(container: Any, stream: Any) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (sample rate, (N, channels)) of each frame."""
    for frame in container.decode(stream):
        channels = frame.layout.nb_channels
        array = frame.to_ndarray()
        block = array.T if frame.format.is_planar else array.reshape(-1, channels)
        scale = _SCALE.get(frame.format.packed.name)
        if scale is None:
            raise InvalidAudio("the recording's sample format is not supported; export it as 16-bit")
        if array.dtype == np.uint8:
            block = block.astype(np.float32) - 128.0
        yield frame.sample_rate, (block * scale).astype(np.float32, copy=False)


def _check_length(container: Any, found: _Collector) -> None:
    """Raise InvalidAudio if the file is shorter than it claims. (Raw AAC and MP3 headers only guess.)"""
    if container.duration is None:
        return
    claimed, decoded = container.duration / av.time_base, found.length / found.sample_rate
    if decoded < claimed * 0.98 - 0.2:
        raise InvalidAudio(
            f"the recording is cut off: it has {decoded:.1f} of its {claimed:.1f} seconds; send the complete file"
        )
