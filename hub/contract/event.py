"""The events of an answer: the tagged union `SpeechEvent` of audio, marks and one ending.

A stream is any number of `AudioChunk` and `Mark`, then exactly one `Done` or `Fault`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

Span = tuple[int, int]
"""Start and end (exclusive), in characters of the request's text; for a dialogue, of its turns' texts, one a line."""


class AudioChunk(Struct, tag="audio", frozen=True, omit_defaults=True):
    """A piece of mono audio.

    `pcm` is 32-bit float little-endian in [-1, 1]; `sample_rate` is in Hz and the same for all chunks
    of one stream; `span` is the part of the request's text that the chunk speaks, where known.
    """

    pcm: bytes
    sample_rate: int
    span: Span | None = None

    @classmethod
    def of(cls, samples: Any, sample_rate: int, span: Span | None = None) -> AudioChunk:
        """Wrap `samples`: a one-dimensional, contiguous float32 buffer (a numpy array, a CPU tensor's `.numpy()`).

        Raises TypeError for any other shape or type: a silent conversion would hide a bug.
        """
        view = memoryview(samples)
        if view.format not in ("f", "<f") or view.ndim != 1 or not view.c_contiguous:
            raise TypeError(
                "AudioChunk.of needs a contiguous one-dimensional float32 buffer, "
                f"not format {view.format!r} with shape {view.shape}"
            )
        return cls(pcm=view.tobytes(), sample_rate=sample_rate, span=span)

    @property
    def samples(self) -> memoryview[float]:
        """The samples as a float memoryview, (N,); `numpy.frombuffer(chunk.pcm, "<f4")` is the array."""
        return memoryview(self.pcm).cast("f")

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.pcm) / 4 / self.sample_rate


class Mark(Struct, tag="mark", frozen=True, omit_defaults=True):
    """A point in time that belongs to a point in the text.

    `start` and `end` are seconds from the start of the stream; `kind` is `segment`, `sentence` or `word`;
    `estimated` marks times that the hub spread over a longer exact span, because the model gave none; `speaker` is the
    tag of the turn, in a dialogue.
    """

    kind: str
    start: float
    end: float
    text: str = ""
    span: Span | None = None
    estimated: bool = False
    speaker: str | None = None


class Done(Struct, tag="done", frozen=True, omit_defaults=True):
    """The stream ended well. `report` holds facts from the backend, such as a retry or a length cap."""

    report: dict[str, Any] = {}


class Fault(Struct, tag="fault", frozen=True, omit_defaults=True):
    """The stream ended badly: an error as data, so that it crosses the process border safely.

    `code` is one of docs/errors.md; `hub.contract.errors.from_fault` turns it into an exception.
    """

    code: str
    message: str
    detail: dict[str, Any] = {}


SpeechEvent = AudioChunk | Mark | Done | Fault
