"""Speaking: one request, from the segments of its text to audio, while it is made.

Each segment is one run of the language model. Its frames go to the codec as they come, and every chunk of audio is
final: the codec does not look ahead. Earlier segments keep the voice: 1.x and S2 read them again, as their own code
does; S1 reads the references, and where there are none, the first segment as one.
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
from hub.contract import AudioChunk, Sampling, Stop
from hub.contract.errors import InvalidRequest
from hub.nn.loans import Loans
from hub.nn.sampling import request_generator
from hub_fish_speech.machinery import Machinery
from hub_fish_speech.options import FishOptions
from hub_fish_speech.prompt import Example, Past
from hub_fish_speech.sampling import Draws
from hub_fish_speech.session import RequestNoise, Session
from hub_fish_speech.text.dialogue import SPEAKER
from hub_fish_speech.text.duration import spoken_seconds
from hub_fish_speech.text.sentences import Segment

DEFAULTS = FishOptions()

FREE_SECONDS = 5.0
"""Seconds that any text may take beyond its own length before it is cut: a laugh, a pause, a slow start."""

LEAST_ROOM = 256
"""Frames (12 s) that must be left for speech; a prompt that leaves fewer is refused."""

ATTEMPTS, LEAST_HEARD = 3, 2
"""A segment is begun at most ATTEMPTS times, until it yields LEAST_HEARD frames."""

HISTORY = 4096
"""Positions of earlier segments that S2 reads again at most, beside the first."""


class Limits(NamedTuple):
    """Limits of a segment's length: `frames`, and `factor` times the time of its text; 0 means no such limit."""

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
    """One request under way. `speak` can be called once; `report` then describes the result.

    It is a context manager: it borrows a session for its first segment, and gives it back at the end of the block.
    """

    def __init__(
        self,
        machinery: Machinery,
        sessions: Loans[Session],
        references: Sequence[Example],
        *,
        sampling: Sampling,
        seed: int | None,
        options: FishOptions = DEFAULTS,
    ) -> None:
        self._machinery = machinery
        self._sessions = sessions
        self._session: Session | None = None
        self._references = references
        self._sampling = sampling
        self._draws = Draws.of(sampling, machinery.variant)
        self._noise = RequestNoise(request_generator(seed, machinery.device))
        self._limits = Limits(sampling.max_new_tokens or 0, options.length_cap)
        self._options = options
        self._piece = options.first_chunk  # frames of the next piece of audio
        self._history: list[Past] = []
        self._cut: list[int] = []
        self._retries = 0
        self._segments = self._frames = 0

    def __enter__(self) -> Speaking:
        return self

    def __exit__(self, *error: object) -> None:
        if self._session is not None:
            self._sessions.give_back(self._session)
            self._session = None

    @property
    def report(self) -> dict[str, Any]:
        """The counts of segments and frames; the segments that were cut at their limit; how often an empty segment was
        begun again; the references without a transcript; and the fields of the request that this variant ignores, as
        the vendor's code does.
        """
        found: dict[str, Any] = {"segments": self._segments, "frames": self._frames}
        if self._cut:
            found["cut_segments"] = self._cut
        if self._retries:
            found["retries"] = self._retries
        bare = [number for number, one in enumerate(self._references) if not SPEAKER.sub("", one.text).strip()]
        if bare:
            found["untranscribed_references"] = bare
        if self._machinery.variant.repetition_aware and self._sampling.repetition_penalty not in (None, 1.0):
            found["ignored"] = ["repetition_penalty"]
        return found

    def speak(self, segments: Iterable[tuple[Segment, bool]], stop: Stop) -> Iterator[AudioChunk]:
        """Yield audio, chunk by chunk. Each segment comes with True if it is known to be the last."""
        rate = self._machinery.codec.sample_rate
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
        """The codes (C, N) of one more segment, without their sound; fewer of them if stopped."""
        frames = [part for part, _ in self._run(text, stop)]
        return torch.cat(frames, 1) if frames else torch.zeros(self._machinery.codec.codebooks, 0, dtype=torch.int64)

    def _segment(self, segment: Segment, stop: Stop) -> Iterator[npt.NDArray[np.float32]]:
        """The sound of one segment, (N,) at a time."""
        stream = self._machinery.codec.stream()
        waiting: list[Tensor] = []
        for codes, last in self._run(segment.text, stop):
            waiting.append(codes)
            if last or sum(part.shape[1] for part in waiting) >= self._piece:
                yield stream.feed(torch.cat(waiting, 1)).numpy()
                waiting.clear()
                self._piece = min(2 * self._piece, max(self._piece, self._options.largest_chunk))
        yield stream.finish().numpy()

    def _run(self, text: str, stop: Stop | None) -> Iterator[tuple[Tensor, bool]]:
        """The codes of one segment that reach the codec, (C, n) at a time, and True with the last ones (n may be 0).

        If stopped, it ends without those, and the segment is not remembered.
        """
        language, prompter, codec = self._machinery
        limit = self._limits.of(text, codec.sample_rate / codec.frame)
        prompt = self._prompt(text, limit)
        session = self._borrow(prompt.shape[1] + limit)
        first, held = (1, 0) if language.variant.drops == "first" else (0, 1)
        for _ in range(ATTEMPTS):
            frames, heard = prompt[:, :0], first
            for block in session.frames(prompt, self._draws, self._noise, limit):
                if stop is not None and stop.is_set():
                    return
                frames = torch.cat([frames, block], 1)
                ready = frames.shape[1] - held
                if ready >= max(heard + 1, first + LEAST_HEARD):
                    yield prompter.codes(frames[:, heard:ready]), False
                    heard = ready
            if heard > first or frames.shape[1] >= limit:
                break
            self._retries += 1  # the segment is empty; the noise continues, so the next attempt differs
        if frames.shape[1] and frames[0, -1] != language.tokenizer.im_end:
            self._cut.append(self._segments)
        self._segments += 1
        self._frames += frames.shape[1]
        if frames.shape[1] > LEAST_HEARD:  # an empty segment is not an example of the voice
            self._history.append(Past(text, frames))
        yield prompter.codes(frames[:, heard : max(heard, frames.shape[1] - held)]), True

    def _borrow(self, positions: int) -> Session:
        """The request's session; the first call borrows one with room for so many positions."""
        if self._session is None:
            self._session = self._sessions.take(min(positions, self._machinery.language.positions))
        return self._session

    def _prompt(self, text: str, limit: int) -> Tensor:
        """The prompt for `text`, with as much of the past as its variant reads and there is room for.

        Raises InvalidRequest if references and text alone leave no room for speech.
        """
        positions = self._machinery.language.positions
        room = positions - min(limit, LEAST_ROOM)
        for history in self._pasts():
            prompt = self._machinery.prompter.prompt(text, self._references, history)
            if prompt.shape[1] <= room:
                return prompt
        raise InvalidRequest(
            f"references and text take {prompt.shape[1]} positions of the model's {positions}, which leaves no room "
            "for speech: give shorter or fewer references",
            positions=prompt.shape[1],
        )

    def _pasts(self) -> Iterator[list[Past]]:
        """The parts of the past that may be read again, the largest first; the last one is empty."""
        past = self._history
        name = self._machinery.variant.name
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
