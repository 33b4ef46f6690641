"""Files of audio: spoken segments put together, one file an item, the same bytes however often it is done."""

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
from hub.audio.pcm import wav_header
from hub.contract.errors import BackendFailed
from hub.contract.event import Mark, Span
from hub.contract.speech import AudioFormat
from hub.service.disk.folder import NEW, sync_folder

PAUSE = 0.25
"""Seconds of silence between two segments of one text."""


class Stopped(Exception):
    """The work was given up because nobody wants it any more."""


class Spoken(Struct, kw_only=True, omit_defaults=True):
    """The journal's record of a segment. Its samples, 32-bit float, are in a file of `samples` * 4 bytes.

    `marks` count from the segment's own start in time and text. `error` is an error body: nothing could be spoken.
    """

    samples: int = 0
    sample_rate: int = 0
    voice: str = ""
    marks: list[Mark] = []
    error: dict[str, object] | None = None

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / self.sample_rate if self.sample_rate else 0.0


class SpokenSegment(Struct, frozen=True):
    """A segment in its item: what was spoken, where its samples are, and which span of the item's text it is."""

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
    """Write the file of one item. Long: run it in a thread; it gives up with Stopped once `stopped()`.

    Raises BackendFailed if the segments do not fit together, OSError.
    """
    rate = segments[0].spoken.sample_rate
    if any(segment.spoken.sample_rate != rate for segment in segments):
        raise BackendFailed("the model changed its sample rate while it worked on the task; run the task again")
    # A WAV is written piece by piece, its header put right at the end: it may be larger than the memory.
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
    """Write what the encoder holds back, and the true length into a WAV's header; returns the bytes of the file."""
    file.write(encoder.finish())
    size = file.tell()
    if format.container == "wav":
        head = len(wav_header(encoder.sample_rate, format.encoding))
        file.seek(0)
        file.write(wav_header(encoder.sample_rate, format.encoding, size - head))
    return size


def marks_of(segments: Sequence[SpokenSegment]) -> Iterator[Mark]:
    """The marks of an item: those of its segments, moved in time. A segment without any is a mark itself."""
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
    """A file that is at `path`, whole and on the disk, once the block has ended well. Raises OSError."""
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
