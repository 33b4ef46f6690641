"""One request, from its plan to its audio."""

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
from hub_cosyvoice.arriving import ArrivingIds
from hub_cosyvoice.checkpoint import Loaded
from hub_cosyvoice.lm.bistream import Mix, interleaved
from hub_cosyvoice.lm.generate import Outcome, generate
from hub_cosyvoice.lm.qwen import QwenLM
from hub_cosyvoice.lm.sampling import RasSampler, RasSettings
from hub_cosyvoice.lm.silence import without_long_silence
from hub_cosyvoice.modes import Plan
from hub_cosyvoice.options import Scheme

FRAMES = 15_000
"""Frames that the flow of the second and third generation has start noise for, the prompt's included: 300 s."""

SEEDS = 2**63 - 1


@dataclass
class Run:
    """What one request carries along: its random numbers, its limits and what there is to report. Never shared."""

    model: Loaded
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
        model: Loaded,
        plan: Plan,
        stop: Stop,
        *,
        seed: int | None = None,
        sampling: Sampling = Sampling(),  # noqa: B008  it is frozen
        scheme: Scheme = "consistent",
        speed: float = 1.0,
        longest: float = 300.0,
    ) -> Run:
        """A run from its seed, or from the system's entropy; no segment is longer than `longest` seconds."""
        seeds = request_generator(seed)
        settings = _settings(RasSettings.of(model.config.llm.get("sampling")), sampling)
        sampler = RasSampler(settings, request_generator(_seed(seeds), model.device))
        return cls(
            model=model,
            plan=plan,
            stop=stop,
            scheme=scheme,
            speed=speed,
            sampler=sampler,
            seeds=seeds,
            most=sampling.max_new_tokens or None,
            longest=int(longest * model.config.token_rate),
        )

    # -- a text that is there as a whole -------------------------------------------------------------------------------

    def speak(self, text: str, segments: list[str], *, stream: bool) -> Iterator[AudioChunk | Mark | Done]:
        """The `segments`, which were made of `text`, one after the other."""
        positions = compared(text, "".join(segments)).positions
        place = 0
        for segment in segments:
            span = positions.back((place, place + len(segment)))
            place += len(segment)
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
        model, plan = self.model, self.plan
        ids = model.tokenizer.encode(plan.tag + segment)
        if plan.mode == "zero_shot" and len(ids) < (len(plan.before) - plan.preamble) / 2:
            self._note("a text much shorter than the transcript of its recording is often spoken badly")
        given = plan.lm_input(ids)
        return self._counted(generate(model.lm, model.seats, given, self.sampler, most=self._room(), outcome=outcome))

    def _counted(self, tokens: Iterable[int], *, filtered: bool = True) -> Iterator[int]:
        """Tokens on their way to the flow, until the caller has left; `filtered` shortens long silence."""

        def heard() -> Iterator[int]:
            for token in tokens:
                if self.stop.is_set():
                    return
                self.tokens += 1
                yield token

        return without_long_silence(heard()) if filtered and self.model.config.generation == 3 else heard()

    def _room(self) -> int:
        """The most tokens that the next segment may have."""
        limits = [self.longest]
        if self.most is not None:
            limits.append(self.most - self.tokens)
        if self.model.config.generation != 1:
            limits.append(FRAMES // self.model.frames_per_token - len(self.plan.prompt.tokens))
        return min(limits)

    # -- a text that arrives in pieces ---------------------------------------------------------------------------------

    def speak_live(self, pieces: Iterator[str], mix: Mix) -> Iterator[AudioChunk | Mark | Done]:
        """The text of `pieces`, as it comes."""
        lm = self.model.lm
        assert isinstance(lm, QwenLM)
        arriving = ArrivingIds(pieces, self.model.tokenizer)
        while arriving.more():
            outcome = Outcome()
            given = self.plan.lm_input(())
            tokens = interleaved(
                lm,
                self.model.seats,
                given,
                arriving.utterance(),
                self.sampler,
                mix=mix,
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
        """Tokens of a recording in this plan's voice, as many at once as the flow takes."""
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
            yield self.model.wave.whole(found, self.plan.prompt, generator=generator, speed=self.speed)

    def _streamed(self, tokens: Iterator[int]) -> Iterator[Tensor]:
        generator = self._wave_generator()
        wave = self.model.wave.stream(self.plan.prompt, generator=generator, scheme=self.scheme, speed=self.speed)
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
        rate = self.model.config.sample_rate
        for part in samples.clamp(-1.0, 1.0).split(rate // 2):
            if self.stop.is_set():
                return
            if len(part):
                self.samples += len(part)
                yield AudioChunk.of(part.contiguous().numpy(), rate, span)

    def _mark(self, begin: int, text: str, span: Span) -> Mark:
        rate = self.model.config.sample_rate
        return Mark(
            kind="segment", start=begin / rate, end=self.samples / rate, text=text[slice(*span)].strip(), span=span
        )

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def report(self) -> dict[str, Any]:
        """What the caller may want to know."""
        found: dict[str, Any] = {"mode": self.plan.mode, "tokens": self.tokens}
        if self.capped:
            found["capped"] = True
        if self.notes:
            found["notes"] = self.notes
        return found


def _settings(own: RasSettings, asked: Sampling) -> RasSettings:
    """The model's own sampling with what the request says."""
    return RasSettings(
        top_p=own.top_p if asked.top_p is None else asked.top_p,
        top_k=own.top_k if asked.top_k is None else asked.top_k,
        window=own.window,
        share=own.share,
        temperature=own.temperature if asked.temperature is None else asked.temperature,
        penalty=own.penalty if asked.repetition_penalty is None else asked.repetition_penalty,
    )


def _seed(generator: torch.Generator) -> int:
    return int(torch.randint(SEEDS, (1,), generator=generator))
