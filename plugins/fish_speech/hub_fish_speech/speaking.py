"""Speaking: segments of text -> audio, while it is made.

Each segment is one run of the language model. Its frames go to the codec as they come, and every chunk of audio is
final: the codec looks at nothing that comes later. What was spoken before keeps the voice: 1.x and S2 read it again, as
their own code does; S1 reads the references, and where there are none, the first segment as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hub.audio.join import Edges
from hub.contract import AudioChunk, Stop
from hub.contract.errors import InvalidRequest
from hub_fish_speech.options import FishOptions
from hub_fish_speech.prompt import Example, Past
from hub_fish_speech.sampling import Draws
from hub_fish_speech.session import Noise, Session
from hub_fish_speech.text import SPEAKER, Segment, spoken_seconds
from hub_fish_speech.voiced import Voiced

OPTIONS = FishOptions()
"""What holds where a request says nothing."""

FREE_SECONDS = 5.0
"""What any text may take beyond its own length before it is cut: a laugh, a pause, a slow start."""

LEAST_ROOM = 256
"""Frames (12 s) that must be left for speech; a prompt that leaves fewer is refused."""

ATTEMPTS, LEAST_HEARD = 3, 2
"""How often a segment is begun, as long as fewer frames than that come of it."""

HISTORY = 4096
"""Positions of earlier segments that S2 reads again at most, beside the first."""


class Limits(NamedTuple):
    """How long a segment may get: `frames`, and `factor` times what its text may take; 0 is no such limit."""

    frames: int
    factor: float

    def of(self, text: str, frame_rate: float) -> int:
        """Frames that `text` may take."""
        most = self.frames or 1_000_000
        if not self.factor:
            return most
        seconds = FREE_SECONDS + self.factor * spoken_seconds(text)
        return min(most, math.ceil(seconds * frame_rate))


class Speaking:
    """One request on its way. `speak` can be called once; `report` then tells what there is to tell of it."""

    def __init__(
        self,
        voiced: Voiced,
        session: Session,
        references: Sequence[Example],
        *,
        draws: Draws,
        noise: Noise,
        limits: Limits,
        options: FishOptions = OPTIONS,
    ) -> None:
        self._voiced = voiced
        self._session = session
        self._references = references
        self._draws = draws
        self._noise = noise
        self._limits = limits
        self._options = options
        self._chunk = options.first_chunk
        self._history: list[Past] = []
        self._cut: list[int] = []
        self._retries = 0
        self._segments = self._frames = 0

    @property
    def report(self) -> dict[str, Any]:
        """Segments and frames, which segments were cut at their limit, how often one was begun again because nothing
        came, and which references have no transcript.
        """
        told: dict[str, Any] = {"segments": self._segments, "frames": self._frames}
        if self._cut:
            told["cut_segments"] = self._cut
        if self._retries:
            told["retries"] = self._retries
        if untold := [number for number, one in enumerate(self._references) if not SPEAKER.sub("", one.text).strip()]:
            told["untranscribed_references"] = untold
        return told

    def speak(self, segments: Iterable[tuple[Segment, bool]], stop: Stop) -> Iterator[AudioChunk]:
        """Audio, chunk by chunk. With each segment comes whether it is known to be the last."""
        rate = self._voiced.codec.sample_rate
        for number, (segment, last) in enumerate(segments):
            edges = Edges(rate, fade_in=number > 0, fade_out=not last)
            for samples in self._segment(segment, stop):
                if len(ready := edges.feed(samples)):
                    yield AudioChunk.of(ready, rate, segment.span)
            if stop.is_set():
                return
            if len(rest := edges.finish()):
                yield AudioChunk.of(rest, rate, segment.span)

    def codes(self, text: str, stop: Stop | None = None) -> Tensor:
        """The codes (C, N) of one more segment, without their sound. As far as it came, if stopped."""
        frames = [part for part, _ in self._run(text, stop)]
        return torch.cat(frames, 1) if frames else torch.zeros(self._voiced.codec.codebooks, 0, dtype=torch.int64)

    def _segment(self, segment: Segment, stop: Stop) -> Iterator[npt.NDArray[np.float32]]:
        """The sound of one segment, (N,) at a time."""
        stream = self._voiced.codec.stream()
        waiting: list[Tensor] = []
        for codes, last in self._run(segment.text, stop):
            waiting.append(codes)
            if last or sum(part.shape[1] for part in waiting) >= self._chunk:
                yield stream.feed(torch.cat(waiting, 1)).numpy()
                waiting.clear()
                self._chunk = min(2 * self._chunk, max(self._chunk, self._options.largest_chunk))
        yield stream.finish().numpy()

    def _run(self, text: str, stop: Stop | None) -> Iterator[tuple[Tensor, bool]]:
        """The codes of one segment that reach the codec, (C, n) at a time, and whether it ends with them (n may be 0).

        If stopped, it ends without, and the segment is not remembered.
        """
        language, prompter, codec = self._voiced
        limit = self._limits.of(text, codec.sample_rate / codec.frame)
        prompt = self._prompt(text, limit)
        first, held = (1, 0) if language.variant.drops == "first" else (0, 1)
        for _ in range(ATTEMPTS):
            frames, heard = prompt[:, :0], first
            for block in self._session.frames(prompt, self._draws, self._noise, limit):
                if stop is not None and stop.is_set():
                    return
                frames = torch.cat([frames, block], 1)
                ready = frames.shape[1] - held
                if ready >= max(heard + 1, first + LEAST_HEARD):
                    yield prompter.codes(frames[:, heard:ready]), False
                    heard = ready
            if heard > first or frames.shape[1] >= limit:
                break
            self._retries += 1  # it said nothing: the noise goes on, so it may say something now
        if frames.shape[1] and frames[0, -1] != language.tokenizer.im_end:
            self._cut.append(self._segments)
        self._segments += 1
        self._frames += frames.shape[1]
        if frames.shape[1] > LEAST_HEARD:  # what said nothing is no example of the voice
            self._history.append(Past(text, frames))
        yield prompter.codes(frames[:, heard : max(heard, frames.shape[1] - held)]), True

    def _prompt(self, text: str, limit: int) -> Tensor:
        """The prompt for `text`, with as much of the past as its variant reads and there is room for.

        Raises InvalidRequest if references and text alone leave no room for speech.
        """
        room = self._voiced.language.positions - min(limit, LEAST_ROOM)
        for history in self._pasts():
            prompt = self._voiced.prompter.prompt(text, self._references, history)
            if prompt.shape[1] <= room:
                return prompt
        raise InvalidRequest(
            f"references and text take {prompt.shape[1]} positions of the model's {self._voiced.language.positions}, "
            "which leaves no room for speech: give shorter or fewer references",
            positions=prompt.shape[1],
        )

    def _pasts(self) -> Iterator[list[Past]]:
        """What of the past may be read again, the most first; at the end nothing of it."""
        past = self._history
        name = self._voiced.language.variant.name
        if name == "s1":
            if past and not self._references:
                yield past[:1]
        elif past:
            newest, size = len(past), 0
            while newest > 1 and size + past[newest - 1].frames.shape[1] <= HISTORY:
                newest -= 1
                size += past[newest].frames.shape[1]
            yield past if name != "s2" else past[:1] + past[max(1, newest) :]
            yield [past[0], *past[-1:]] if len(past) > 1 else past
        yield []
