"""Speaking: one request, passage by passage and packet by packet, with guards against this model's known faults.

The model may fall silent for a minute, go on after the text has ended, or end at once. Therefore each passage has a
budget by the length of its text, ends after a long silence, and is spoken again once, with another seed, if its length
is implausible and nothing of it has been sent. The report lists these events.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hub.contract import AudioChunk, CastVoice, Done, ResolvedRequest, Stop
from hub.contract.errors import EmptyAudio, UnsupportedCapability
from hub.contract.event import Span
from hub.text.speakable import is_speakable, nothing_to_speak
from hub_higgs_audio.context import Context
from hub_higgs_audio.conversation import check_alone, messages_of
from hub_higgs_audio.generation import AudioColumn, Limits
from hub_higgs_audio.machinery import Machinery
from hub_higgs_audio.model.delay import DelayReverter
from hub_higgs_audio.model.sampling import SamplingParams
from hub_higgs_audio.options import HiggsLoadOptions, HiggsOptions
from hub_higgs_audio.packets import Packet, PacketDecoder, PacketSizes
from hub_higgs_audio.prompt import Message, opening_messages
from hub_higgs_audio.silence import KEPT_SECONDS, Silence
from hub_higgs_audio.text.cleaning import without_control
from hub_higgs_audio.text.pace import longest, shortest
from hub_higgs_audio.text.splitting import Passage, passages_of
from hub_higgs_audio.text.tagging import TaggedText, tagged_text
from hub_higgs_audio.voices import Voices

WORDS = {"sentence": 60, "word": 200}
"""Words of a passage if the request sets no number."""

DEFAULTS = SamplingParams(temperature=0.3, top_k=50, top_p=0.95)
"""Sampling if the request sets none: a low temperature keeps this model to its text."""

FINE, SHORT, LONG, EMPTY = "fine", "short", "long", "empty"
_WORSE = (FINE, SHORT, LONG, EMPTY)

RETRY_STEP = 1_000_003
"""Added to the seed of a passage that is said again."""


@dataclass(frozen=True)
class Guards:
    """Limits of an answer, and what happens at them. `max_silence` is in seconds.

    `hold`: send nothing of a passage until it is known to be plausible.
    """

    max_new_tokens: int
    max_silence: float | None = 3.0
    length_budget: bool = True
    retry: bool = True
    hold: bool = False


@dataclass
class Attempt:
    """One attempt at a passage, from frame `begin` of the stream on: its codes (K, T), and packets yet to be sent."""

    codes: Tensor
    begin: int
    waiting: list[Packet] = field(default_factory=list)
    sent: bool = False
    state: str = FINE
    cut: str = ""


class Speaking:
    """One request. Make it, then iterate over `events` once.

    Raises InvalidRequest, UnspeakableText, UnsupportedCapability, UnknownVoice and InvalidAudio when it is made.
    """

    def __init__(
        self,
        machinery: Machinery,
        voices: Voices,
        load: HiggsLoadOptions,
        request: ResolvedRequest,
        options: HiggsOptions,
        stop: Stop,
    ) -> None:
        _check(request, options, machinery)
        text = TaggedText(request.text or "") if options.conversation else tagged_text(request)
        self._passages = _passages(text, options)
        self._context = Context(
            machinery,
            _opening(voices, request, text, options),
            sampling_params(request, options),
            stop,
            keep=options.generation_chunk_buffer_size,
            forced_audio=options.force_audio,
        )
        self._guards = Guards(
            max_new_tokens=request.sampling.max_new_tokens or load.max_new_tokens,
            max_silence=options.max_silence,
            length_budget=options.length_budget,
            retry=options.retry,
            hold=not request.stream,
        )
        self._codec = machinery.codec
        self._bos = machinery.language.sizes.bos
        self._decoder = PacketDecoder(
            machinery.codec, PacketSizes(load.first_frames, load.packet_frames, options.early)
        )
        self._seed = request.seed if request.seed is not None else secrets.randbits(62)
        self._stop = stop
        self._spans: list[tuple[int, Span | None]] = []
        self._frames = 0
        self._report: dict[str, Any] = {"seed": self._seed}

    def events(self) -> Iterator[AudioChunk | Done]:
        """The audio of all passages as one stream without seams, then a Done with the report. Raises EmptyAudio."""
        if self._stop.is_set():
            return
        yield from self._audio()
        if not self._frames and not self._stop.is_set():
            raise EmptyAudio("the model gave no audio for this text; try again, with another seed or another voice")
        yield Done(self._report)

    def _audio(self) -> Iterator[AudioChunk]:
        if len(self._passages) > 1:
            self._context.compute_opening()
            self._report["chunks"] = len(self._passages)
        for number, passage in enumerate(self._passages):
            self._spans.append((self._decoder.received, passage.span))
            attempt = yield from self._passage(number, passage)
            if self._stop.is_set():
                return
            if attempt.codes.shape[1]:
                self._frames += attempt.codes.shape[1]
                self._context.remember(passage.text, attempt.codes)
        for packet in self._decoder.finish():
            if self._stop.is_set():
                return
            yield self._chunk(packet)

    def _passage(self, number: int, passage: Passage) -> Generator[AudioChunk, None, Attempt]:
        """Speak one passage, and again if necessary. Returns the attempt that counts."""
        before = copy.copy(self._decoder)
        attempt = yield from self._attempt(passage, self._seed)
        if self._stop.is_set():
            return attempt
        if self._guards.retry and attempt.state != FINE and not attempt.sent:
            first, first_decoder = attempt, self._decoder
            self._decoder = before
            attempt = yield from self._attempt(passage, self._seed + RETRY_STEP)
            self._note("retried", number, reason=first.state, seed=self._seed + RETRY_STEP)
            if not attempt.sent and _WORSE.index(attempt.state) > _WORSE.index(first.state):
                attempt, self._decoder = first, first_decoder
        if attempt.state != FINE:
            self._note("doubtful", number, reason=attempt.state)
        if attempt.cut:
            self._note("cut", number, reason=attempt.cut)
        for packet in attempt.waiting:
            yield self._chunk(packet)
        return attempt

    def _attempt(self, passage: Passage, seed: int) -> Generator[AudioChunk, None, Attempt]:
        """One attempt. Audio that it sends is final; the rest waits in the Attempt that it returns."""
        attempt = Attempt(torch.zeros(self._codec.codebooks, 0, dtype=torch.long), begin=self._decoder.received)
        silence = Silence(self._codec.sample_rate)
        frames = DelayReverter(self._bos, self._codec.codebook_size)
        limits, budgeted = self._limits(passage.text)
        made, ended = 0, False
        for event in self._context.generate(passage.text, limits, seed=seed):
            made += 1
            if not isinstance(event, AudioColumn):
                continue
            ended = event.last
            frame = frames.feed(event.ids)
            attempt.codes = torch.cat([attempt.codes, frame], 1)
            for packet in self._decoder.feed(frame):
                yield from self._offer(attempt, packet, silence)
            if self._guards.max_silence is not None and silence.seconds > self._guards.max_silence:
                self._cut_silence(attempt, silence)
                break
        if not ended and made >= limits.max_new_tokens:
            attempt.cut = attempt.cut or ("budget" if budgeted else "max_new_tokens")
        attempt.state = self._judge(passage.text, attempt, silence)
        return attempt

    def _offer(self, attempt: Attempt, packet: Packet, silence: Silence) -> Iterator[AudioChunk]:
        """Send a packet and those that wait, unless the passage may yet be said again, or has fallen silent."""
        if packet.frame >= attempt.begin:
            silence.feed(packet.wave)
        attempt.waiting.append(packet)
        unproven = self._guards.retry and (self._guards.hold or not silence.heard)
        fading = self._guards.max_silence is not None and silence.seconds > KEPT_SECONDS
        if unproven or fading:
            return
        for waiting in attempt.waiting:
            yield self._chunk(waiting)
        attempt.waiting.clear()
        attempt.sent = True

    def _cut_silence(self, attempt: Attempt, silence: Silence) -> None:
        """Drop the silent packets that wait at the end, and the frames that are not decoded yet."""
        attempt.cut = "silence"
        end = self._decoder.sent
        while attempt.waiting and attempt.waiting[-1].frame >= attempt.begin and silence.seconds > KEPT_SECONDS:
            dropped = attempt.waiting.pop()
            silence.seconds -= len(dropped.wave) / self._codec.sample_rate
            end = dropped.frame
        self._decoder.drop()
        attempt.codes = attempt.codes[:, : max(0, end - attempt.begin)]

    def _limits(self, text: str) -> tuple[Limits, bool]:
        """The limits of the answer, and whether they are the text's budget rather than max_new_tokens."""
        budget = round(longest(text) * self._codec.sample_rate / self._codec.hop) + self._codec.codebooks + 2
        budgeted = self._guards.length_budget and budget < self._guards.max_new_tokens
        tokens = budget if budgeted else self._guards.max_new_tokens
        return Limits(tokens, only_audio=self._context.forced_audio), budgeted

    def _judge(self, text: str, attempt: Attempt, silence: Silence) -> str:
        seconds = attempt.codes.shape[1] * self._codec.hop / self._codec.sample_rate
        if not seconds or (attempt.cut == "silence" and not silence.heard):
            return EMPTY
        if attempt.cut == "budget":
            return LONG
        return SHORT if seconds < shortest(text) else FINE

    def _chunk(self, packet: Packet) -> AudioChunk:
        span = next(span for frame, span in reversed(self._spans) if frame <= packet.frame)
        wave = packet.wave.clamp(-1, 1)  # the decoder has no bounds
        return AudioChunk.of(wave.numpy(), self._codec.sample_rate, span)

    def _note(self, what: str, number: int, **detail: Any) -> None:
        self._report.setdefault(what, []).append({"chunk": number, **detail})


def _check(request: ResolvedRequest, options: HiggsOptions, machinery: Machinery) -> None:
    """Raises UnsupportedCapability, InvalidRequest."""
    if not options.force_audio and not machinery.language.writes_text:
        raise UnsupportedCapability("this checkpoint has no text head; leave the option force_audio at true")
    if options.conversation:
        check_alone(request)


def _passages(text: TaggedText, options: HiggsOptions) -> list[Passage]:
    """The passages, with spans of the caller's text. Raises UnspeakableText."""
    method = options.chunk_method
    words = options.chunk_max_word_num or WORDS.get(method or "", 1)
    passages = [
        passage._replace(span=text.caller_span(passage.span))
        for passage in passages_of(text.text, method, words=words, turns=options.chunk_max_num_turns)
    ]
    if not passages or not is_speakable(" ".join(passage.text for passage in passages)):
        raise nothing_to_speak(blank=False)
    return passages


def _opening(voices: Voices, request: ResolvedRequest, text: TaggedText, options: HiggsOptions) -> list[Message]:
    """The messages before the text. Raises UnknownVoice, InvalidAudio, InvalidRequest."""
    if options.conversation:
        voice = voices.speaker(CastVoice(references=request.references, prepared=request.prepared))
        return messages_of(options.conversation, [codes for codes, _ in voice.recordings])
    scene = without_control(request.scene_text or "").strip() or None
    in_system = options.ref_audio_in_system_message
    return opening_messages(scene, voices.speakers(text), text.tags, in_system=in_system, tagged=bool(text.tags))


def sampling_params(request: ResolvedRequest, options: HiggsOptions) -> SamplingParams:
    """The sampling that a request asks for. Raises UnsupportedCapability for a repetition penalty."""
    asked = request.sampling
    if asked.repetition_penalty not in (None, 1.0):
        raise UnsupportedCapability(
            "Higgs Audio has no repetition penalty; leave it out and set the options ras_win_len and "
            "ras_win_max_num_repeat",
            capability="sampling",
        )
    return SamplingParams(
        temperature=DEFAULTS.temperature if asked.temperature is None else asked.temperature,
        top_k=DEFAULTS.top_k if asked.top_k is None else asked.top_k,
        top_p=DEFAULTS.top_p if asked.top_p is None else asked.top_p,
        ras_window=options.ras_win_len,
        ras_repeats=options.ras_win_max_num_repeat,
    )
