"""Audio files of a task: spoken segments joined, one file per item, with the same bytes on every run."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from msgspec import Struct

from hub.audio.encode import Encoder, EncoderSpec, make_encoder
from hub.audio.wav import wav_header
from hub.contract.errors import BackendFailed
from hub.contract.event import Mark, Span
from hub.contract.speech import AudioFormat
from hub.service.disk.folder import NEW, sync_folder

PAUSE = 0.25
"""Seconds of silence between two segments of one text."""


class Stopped(Exception):
    """The work stopped because its task was cancelled or the hub stops."""


class Spoken(Struct, kw_only=True, omit_defaults=True):
    """The journal's record of a segment. Its samples, 32-bit float, are in a file of `samples` * 4 bytes.

    `marks` count from the segment's own start in time and text. `error` is an error body, if the segment failed.
    """

    samples: int = 0
    sample_rate: int = 0
    voice: str = ""
    marks: list[Mark] = []
    error: dict[str, object] | None = None

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sample_rate if self.sample_rate else 0.0


class SpokenSegment(Struct, frozen=True):
    """A segment in its item: its record, the file of its samples, and its span of the item's text."""

    spoken: Spoken
    file: Path
    span: Span | None
    text: str


class Assembled(Struct, frozen=True):
    """A finished file."""

    media_type: str
    sample_rate: int
    seconds: float
    bytes: int


def assemble(
    segments: Sequence[SpokenSegment],
    format: AudioFormat,
    target: Path,
    encoders: Mapping[str, EncoderSpec],
    stopped: Callable[[], bool],
) -> Assembled:
    """Write the file of one item. This takes long: call it in a thread. Raises Stopped once `stopped()` is true.

    Also raises OSError, and BackendFailed if the segments differ in sample rate.
    """
    rate = segments[0].spoken.sample_rate
    if any(segment.spoken.sample_rate != rate for segment in segments):
        raise BackendFailed("the model changed its sample rate while it worked on the task; run the task again")
    # A WAV may be larger than the memory, so it is written piece by piece and its header is corrected at the end.
    bare = format.container in ("wav", "pcm")
    encoder = make_encoder(format, rate, whole=not bare, encoders=encoders)
    samples = 0
    try:
        with new_file(target) as file:
            for number, segment in enumerate(segments):
                if stopped():
                    raise Stopped
                if number:
                    samples += round(PAUSE * rate)
                    file.write(encoder.feed(np.zeros(round(PAUSE * rate), np.float32)))
                samples += segment.spoken.samples
                file.write(encoder.feed(np.fromfile(segment.file, "<f4")))
            size = finish_file(file, encoder, format)
        return Assembled(encoder.media_type, encoder.sample_rate, samples / rate, size)
    finally:
        encoder.close()


def finish_file(file: BinaryIO, encoder: Encoder, format: AudioFormat) -> int:
    """Write the rest of the encoder's output, and the length into a WAV's header; return the file's size in bytes."""
    file.write(encoder.finish())
    size = file.tell()
    if format.container == "wav":
        head = len(wav_header(encoder.sample_rate, format.encoding))
        file.seek(0)
        file.write(wav_header(encoder.sample_rate, format.encoding, size - head))
    return size


def marks_of(segments: Sequence[SpokenSegment]) -> Iterator[Mark]:
    """Yield the marks of an item: those of its segments, moved in time, or one for a segment without any."""
    at = 0.0
    for segment in segments:
        spoken, start = segment.spoken, segment.span[0] if segment.span else 0
        if not any(mark.kind in ("sentence", "segment") for mark in spoken.marks):
            yield Mark(kind="segment", start=at, end=at + spoken.seconds, text=segment.text, span=segment.span)
        for mark in spoken.marks:
            yield Mark(
                kind=mark.kind,
                start=at + mark.start,
                end=at + mark.end,
                text=mark.text,
                span=(start + mark.span[0], start + mark.span[1]) if mark.span else None,
                estimated=mark.estimated,
            )
        at += spoken.seconds + round(PAUSE * spoken.sample_rate) / spoken.sample_rate


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path`, complete and on the disk, when the block ends without error. Raises OSError."""
    new = path.with_name(f"{NEW}{uuid.uuid4().hex}")
    try:
        with open(new, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    sync_folder(path.parent)
