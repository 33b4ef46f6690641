"""Speaking: one request, from its plan to its audio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hub.contract.backend import Stop
from hub.contract.event import AudioChunk, Done, Mark, Span
from hub.contract.speech import Sampling
from hub.nn.sampling import request_generator
from hub.text.positions import compared
from hub_cosyvoice.decoding.generate import Outcome, generate
from hub_cosyvoice.decoding.interleave import GroupSizes, interleaved
from hub_cosyvoice.decoding.sampling import RasParameters, RasSampler
from hub_cosyvoice.decoding.silence import without_long_silence
from hub_cosyvoice.draws import SEEDS
from hub_cosyvoice.machinery import Machinery
from hub_cosyvoice.model.lm.qwen import QwenLM
from hub_cosyvoice.options import Scheme
from hub_cosyvoice.prompt import Plan
from hub_cosyvoice.streaming import start_stream
from hub_cosyvoice.text.arriving import ArrivingIds

FRAMES = 15_000
"""Frames of the flow's fixed start noise in the second and third generation, including the prompt's: 300 s."""


@dataclass
class Speaking:
    """The state of one request: its random numbers, its limits and its report. Never shared."""

    machinery: Machinery
    plan: Plan
    stop: Stop
    scheme: Scheme
    speed: float
    sampler: RasSampler
    seeds: torch.Generator
    most: int | None
    longest: int
    tokens: int = 0
    samples: int = 0
    capped: bool = False
    notes: list[str] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        machinery: Machinery,
        plan: Plan,
        stop: Stop,
        *,
        seed: int | None = None,
        sampling: Sampling = Sampling(),  # noqa: B008  it is frozen
        scheme: Scheme = "consistent",
        speed: float = 1.0,
        longest: float = 300.0,
    ) -> Speaking:
        """Start from `seed`, or from the system's entropy. No segment is longer than `longest` seconds."""
        seeds = request_generator(seed)
        parameters = _parameters(RasParameters.of(machinery.config.llm.get("sampling")), sampling)
        sampler = RasSampler(parameters, request_generator(_seed(seeds), machinery.device))
        return cls(
            machinery=machinery,
            plan=plan,
            stop=stop,
            scheme=scheme,
            speed=speed,
            sampler=sampler,
            seeds=seeds,
            most=sampling.max_new_tokens or None,
            longest=int(longest * machinery.config.token_rate),
        )

    # -- a whole text --------------------------------------------------------------------------------------------------

    def speak(self, text: str, segments: list[str], *, stream: bool) -> Iterator[AudioChunk | Mark | Done]:
        """The `segments` of `text`, one after the other."""
        positions = compared(text, "".join(segments)).positions
        position = 0
        for segment in segments:
            span = positions.back((position, position + len(segment)))
            position += len(segment)
            begin = self.samples
            outcome = Outcome()
            tokens = self._tokens(segment, outcome)
            for samples in self._streamed(tokens) if stream else self._whole(tokens):
                yield from self._chunks(samples, span)
            self.capped = self.capped or outcome.capped
            if self.stop.is_set():
                return
            if self.samples > begin:
                yield self._mark(begin, text, span)
            if self.most is not None and self.tokens >= self.most:
                self.capped = True
                break
        yield Done(report=self.report())

    def _tokens(self, segment: str, outcome: Outcome) -> Iterator[int]:
        machinery, plan = self.machinery, self.plan
        ids = machinery.tokenizer.encode(plan.tag + segment)
        if plan.mode == "zero_shot" and len(ids) < (len(plan.before) - plan.preamble) / 2:
            self._note("a text much shorter than the transcript of its recording is often spoken badly")
        given = plan.lm_input(ids)
        tokens = generate(machinery.lm, machinery.sessions, given, self.sampler, most=self._room(), outcome=outcome)
        return self._counted(tokens)

    def _counted(self, tokens: Iterable[int], *, filtered: bool = True) -> Iterator[int]:
        """Pass tokens on to the flow and count them, until the caller leaves; `filtered` shortens long silence."""

        def heard() -> Iterator[int]:
            for token in tokens:
                if self.stop.is_set():
                    return
                self.tokens += 1
                yield token

        return without_long_silence(heard()) if filtered and self.machinery.config.generation == 3 else heard()

    def _room(self) -> int:
        """The largest number of tokens for the next segment."""
        limits = [self.longest]
        if self.most is not None:
            limits.append(self.most - self.tokens)
        if self.machinery.config.generation != 1:
            limits.append(FRAMES // self.machinery.frames_per_token - len(self.plan.prompt.tokens))
        return min(limits)

    # -- a text that arrives in pieces ---------------------------------------------------------------------------------

    def speak_live(self, lm: QwenLM, pieces: Iterator[str], sizes: GroupSizes) -> Iterator[AudioChunk | Mark | Done]:
        """The text of `pieces`, as it comes, spoken by the machinery's `lm`."""
        arriving = ArrivingIds(pieces, self.machinery.tokenizer)
        while arriving.more():
            outcome = Outcome()
            given = self.plan.lm_input(())
            tokens = interleaved(
                lm,
                self.machinery.sessions,
                given,
                arriving.utterance(),
                self.sampler,
                sizes=sizes,
                preamble=self.plan.preamble,
                most=self._room(),
                outcome=outcome,
            )
            for samples in self._streamed(self._counted(tokens)):
                yield from self._chunks(samples, None)
            self.capped = self.capped or outcome.capped
            if self.stop.is_set() or (self.most is not None and self.tokens >= self.most):
                break
        yield Done(report=self.report())

    # -- another speaker's recording ---------------------------------------------------------------------------------

    def convert(self, tokens: list[int], *, stream: bool) -> Iterator[AudioChunk | Mark | Done]:
        """Tokens of a recording in this plan's voice, in parts as long as the flow takes."""
        room = self._room()
        for start in range(0, len(tokens), room):
            part = self._counted(tokens[start : start + room], filtered=False)
            for samples in self._streamed(part) if stream else self._whole(part):
                yield from self._chunks(samples, None)
            if self.stop.is_set():
                return
        yield Done(report=self.report())

    # -- tokens to audio -----------------------------------------------------------------------------------------------

    def _wave_generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(_seed(self.seeds))

    def _whole(self, tokens: Iterator[int]) -> Iterator[Tensor]:
        generator = self._wave_generator()
        found = list(tokens)
        if found and not self.stop.is_set():
            yield self.machinery.wave.whole(found, self.plan.prompt, generator=generator, speed=self.speed)

    def _streamed(self, tokens: Iterator[int]) -> Iterator[Tensor]:
        generator = self._wave_generator()
        wave = start_stream(
            self.machinery.wave, self.plan.prompt, generator=generator, scheme=self.scheme, speed=self.speed
        )
        waiting: list[int] = []
        wanted = wave.wanted
        for token in tokens:
            waiting.append(token)
            if len(waiting) >= wanted:
                yield wave.feed(waiting)
                waiting = []
                wanted = wave.wanted
        if self.stop.is_set():
            return
        yield wave.feed(waiting)
        yield wave.finish()

    def _chunks(self, samples: Tensor, span: Span | None) -> Iterator[AudioChunk]:
        """Samples (N,) in chunks of up to half a second."""
        rate = self.machinery.config.sample_rate
        for part in samples.clamp(-1.0, 1.0).split(rate // 2):
            if self.stop.is_set():
                return
            if len(part):
                self.samples += len(part)
                yield AudioChunk.of(part.contiguous().numpy(), rate, span)

    def _mark(self, begin: int, text: str, span: Span) -> Mark:
        rate = self.machinery.config.sample_rate
        return Mark(
            kind="segment", start=begin / rate, end=self.samples / rate, text=text[slice(*span)].strip(), span=span
        )

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def report(self) -> dict[str, Any]:
        """The report for the caller."""
        found: dict[str, Any] = {"mode": self.plan.mode, "tokens": self.tokens}
        if self.capped:
            found["capped"] = True
        if self.notes:
            found["notes"] = self.notes
        return found


def _parameters(own: RasParameters, asked: Sampling) -> RasParameters:
    """The model's own parameters with those of the request."""
    return RasParameters(
        top_p=own.top_p if asked.top_p is None else asked.top_p,
        top_k=own.top_k if asked.top_k is None else asked.top_k,
        window=own.window,
        share=own.share,
        temperature=own.temperature if asked.temperature is None else asked.temperature,
        penalty=own.penalty if asked.repetition_penalty is None else asked.repetition_penalty,
    )


def _seed(generator: torch.Generator) -> int:
    return int(torch.randint(SEEDS, (1,), generator=generator))
