"""One request spoken: chunk by chunk, packet by packet, with an eye on what goes wrong with this model.

Known of it: it may fall silent and go on for a minute, speak on after the text has ended, or end at once. So each chunk
has a budget by the length of its text, ends after a long silence, and is said again once, with another seed, when its
length cannot be right and nothing of it has been sent yet. What happened is told in the report.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hub.contract import AudioChunk, Stop
from hub.contract.event import Span
from hub_higgs_audio.chunking import Chunk
from hub_higgs_audio.columns import Columns
from hub_higgs_audio.model.codec import Codec
from hub_higgs_audio.model.generate import AudioColumn, Limits
from hub_higgs_audio.pace import longest, shortest
from hub_higgs_audio.silence import KEPT_SECONDS, Silence
from hub_higgs_audio.story import Story
from hub_higgs_audio.vocoder import Packet, Packets, Vocoder

FINE, SHORT, LONG, EMPTY = "fine", "short", "long", "empty"
_WORSE = (FINE, SHORT, LONG, EMPTY)

RETRY_STEP = 1_000_003
"""Added to the seed of a chunk that is said again."""


@dataclass(frozen=True)
class Care:
    """What is watched over. `max_silence` seconds; `hold`: keep a chunk back until it is known to be right."""

    max_new_tokens: int
    packets: Packets
    max_silence: float | None = 3.0
    length_budget: bool = True
    retry: bool = True
    hold: bool = False


@dataclass
class Take:
    """One attempt at a chunk, from frame `begun` of the stream on: its codes (K, T), and packets yet to be sent."""

    codes: Tensor
    begun: int
    waiting: list[Packet] = field(default_factory=list)
    sent: bool = False
    state: str = FINE
    cut: str = ""


class Speech:
    """One request. `report` and the number of `frames` are complete once `events` has ended."""

    def __init__(self, story: Story, codec: Codec, care: Care, seed: int, stop: Stop) -> None:
        self._story = story
        self._codec = codec
        self._care = care
        self._seed = seed
        self._stop = stop
        self._vocoder = Vocoder(codec, care.packets)
        self._spans: list[tuple[int, Span | None]] = []
        self.frames = 0
        self.report: dict[str, Any] = {"seed": seed}

    def events(self, chunks: list[Chunk]) -> Iterator[AudioChunk]:
        """The audio of all chunks, as one stream without a seam."""
        if len(chunks) > 1:
            self._story.remember_frame()
            self.report["chunks"] = len(chunks)
        for number, chunk in enumerate(chunks):
            self._spans.append((self._vocoder.received, chunk.span))
            take = yield from self._chunk(number, chunk)
            if self._stop.is_set():
                return
            if take.codes.shape[1]:
                self.frames += take.codes.shape[1]
                self._story.told(chunk.text, take.codes)
        for packet in self._vocoder.finish():
            if self._stop.is_set():
                return
            yield self._audio(packet)

    def _chunk(self, number: int, chunk: Chunk) -> Generator[AudioChunk, None, Take]:
        """Say one chunk, and again if need be. Returns the take that counts."""
        before = copy.copy(self._vocoder)
        take = yield from self._take(chunk, self._seed)
        if self._stop.is_set():
            return take
        if self._care.retry and take.state != FINE and not take.sent:
            first, first_vocoder = take, self._vocoder
            self._vocoder = before
            take = yield from self._take(chunk, self._seed + RETRY_STEP)
            self._tell("retried", number, reason=first.state, seed=self._seed + RETRY_STEP)
            if not take.sent and _WORSE.index(take.state) > _WORSE.index(first.state):
                take, self._vocoder = first, first_vocoder
        if take.state != FINE:
            self._tell("doubtful", number, reason=take.state)
        if take.cut:
            self._tell("cut", number, reason=take.cut)
        for packet in take.waiting:
            yield self._audio(packet)
        return take

    def _take(self, chunk: Chunk, seed: int) -> Generator[AudioChunk, None, Take]:
        """One attempt. What it sends can no longer be taken back; the rest waits in the Take that it returns."""
        take = Take(torch.zeros(self._codec.codebooks, 0, dtype=torch.long), begun=self._vocoder.received)
        silence = Silence(self._codec.sample_rate)
        columns = Columns(self._story.engine.model.sizes.bos, self._codec.codebook_size)
        limits, budgeted = self._limits(chunk.text)
        made, ended = 0, False
        for event in self._story.generate(chunk.text, limits, seed=seed):
            made += 1
            if not isinstance(event, AudioColumn):
                continue
            ended = event.last
            frame = columns.feed(event)
            take.codes = torch.cat([take.codes, frame], 1)
            for packet in self._vocoder.feed(frame):
                yield from self._offer(take, packet, silence)
            if self._care.max_silence is not None and silence.seconds > self._care.max_silence:
                self._cut_silence(take, silence)
                break
        if not ended and made >= limits.max_new_tokens:
            take.cut = take.cut or ("budget" if budgeted else "max_new_tokens")
        take.state = self._judged(chunk.text, take, silence)
        return take

    def _offer(self, take: Take, packet: Packet, silence: Silence) -> Iterator[AudioChunk]:
        """Send a packet and what waits, unless the chunk may yet be said again, or has fallen silent."""
        if packet.frame >= take.begun:
            silence.feed(packet.wave)
        take.waiting.append(packet)
        unproven = self._care.retry and (self._care.hold or not silence.heard)
        fading = self._care.max_silence is not None and silence.seconds > KEPT_SECONDS
        if unproven or fading:
            return
        for waiting in take.waiting:
            yield self._audio(waiting)
        take.waiting.clear()
        take.sent = True

    def _cut_silence(self, take: Take, silence: Silence) -> None:
        """Take back the silent packets that wait at the end, and what is not decoded yet."""
        take.cut = "silence"
        end = self._vocoder.sent
        while take.waiting and take.waiting[-1].frame >= take.begun and silence.seconds > KEPT_SECONDS:
            dropped = take.waiting.pop()
            silence.seconds -= len(dropped.wave) / self._codec.sample_rate
            end = dropped.frame
        self._vocoder.drop()
        take.codes = take.codes[:, : max(0, end - take.begun)]

    def _limits(self, text: str) -> tuple[Limits, bool]:
        """How long the reply may be, and whether the text's length says so rather than max_new_tokens."""
        budget = round(longest(text) * self._codec.sample_rate / self._codec.hop) + self._codec.codebooks + 2
        budgeted = self._care.length_budget and budget < self._care.max_new_tokens
        tokens = budget if budgeted else self._care.max_new_tokens
        return Limits(tokens, only_audio=self._story.forced_audio), budgeted

    def _judged(self, text: str, take: Take, silence: Silence) -> str:
        seconds = take.codes.shape[1] * self._codec.hop / self._codec.sample_rate
        if not seconds or (take.cut == "silence" and not silence.heard):
            return EMPTY
        if take.cut == "budget":
            return LONG
        return SHORT if seconds < shortest(text) else FINE

    def _audio(self, packet: Packet) -> AudioChunk:
        span = next(span for frame, span in reversed(self._spans) if frame <= packet.frame)
        wave = packet.wave.clamp(-1, 1)  # the decoder knows no bounds
        return AudioChunk.of(wave.numpy(), self._codec.sample_rate, span)

    def _tell(self, what: str, number: int, **detail: Any) -> None:
        self.report.setdefault(what, []).append({"chunk": number, **detail})
