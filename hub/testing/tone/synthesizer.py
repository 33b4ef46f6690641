"""`Tone`: the synthesizer of the tone backend, and the ways in which it misbehaves on request."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import msgspec
import numpy as np

from hub.contract.backend import Capabilities, ModelConfig, Stop
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import InvalidAudio
from hub.contract.event import AudioChunk, Mark
from hub.contract.speech import ResolvedRequest, VoicePart
from hub.contract.tokens import Tokens
from hub.contract.voice import Voice, VoiceDraft
from hub.testing.tone import codec
from hub.testing.tone.device import ToneDevice
from hub.testing.tone.options import ToneLoadOptions, ToneOptions, read_options
from hub.testing.tone.reading import decode
from hub.testing.tone.score import Score, hum, live_score, score_of, word_marks
from hub.testing.tone.symbols import SAMPLE_RATE, SYMBOL, symbols
from hub.testing.tone.voices import PITCHES, bed, cloned_pitch, mixed_pitch, pitch_for
from hub.text.speakable import nothing_to_speak


class Tone:
    """The synthesizer. It holds no state of a request, so any number of `speak` calls may run at once."""

    capabilities = Capabilities(
        sample_rate=SAMPLE_RATE, preset_voices=True, cloning=True, streaming=True, speed=True, seed=True
    )

    def __init__(self) -> None:
        self.concurrency = ToneLoadOptions().concurrency
        self.memory = ToneDevice()

    def load(self, model: ModelConfig) -> None:
        """Load nothing; the model's options make this take `load_seconds`, fail or crash."""
        options = read_options(model.options, ToneLoadOptions)
        time.sleep(options.load_seconds)
        if options.fail_load:
            raise RuntimeError("the tone backend fails to load, as its options ask")
        if options.crash_load:
            _kill_this_process()
        self.concurrency = options.concurrency
        self.memory = ToneDevice(options.device_memory)
        self.capabilities = msgspec.structs.replace(
            self.capabilities,
            live_text=options.live_text,
            dialogue=options.dialogue,
            phonemes=options.phonemes,
            mixing=options.mixing,
            prepared_suffices=options.prepared_suffices,
            codec=options.codec,
            conversion=options.conversion,
        )
        self._codec_seconds = options.codec_seconds
        symbols(SYMBOL)

    def voices(self) -> list[Voice]:
        """Return the three presets, one for each pitch."""
        return [
            Voice(id=name, name=name.title(), description=f"a hum of {pitch} Hz", default=name == "mid")
            for name, pitch in PITCHES.items()
        ]

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Return the pitch of the voice, as decimal digits."""
        return str(cloned_pitch(draft.references)).encode()

    def mix_voices(self, parts: list[VoicePart]) -> bytes:
        """Return the pitch between the pitches of the parts, as decimal digits."""
        return str(mixed_pitch(parts)).encode()

    def close(self) -> None:
        """Free the symbols."""
        symbols.cache_clear()

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield chunks of `chunk_ms`, and marks if the options ask for them."""
        if request.turns:
            return self._speak_turns(request, stop)
        options = read_options(request.options, ToneOptions)
        text = request.text or ""
        if not text:
            raise nothing_to_speak(blank=True)
        if options.seconds is not None:
            score = hum(options.seconds, options.chunk_ms)
        else:
            score = score_of(text, request.speed, options.chunk_ms)
        marks = word_marks(text, request.speed) if options.marks and options.seconds is None else []
        return self._play(request, options, score, marks, stop)

    def speak_live(self, request: ResolvedRequest, pieces: Iterator[str], stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield the chunks of each piece as it arrives."""
        options = read_options(request.options, ToneOptions)
        return self._play(request, options, live_score(pieces, request.speed, options.chunk_ms), [], stop)

    def convert(self, request: ResolvedConversion, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Read the text from the recording, and play it with the other voice."""
        options = read_options(request.options, ToneOptions)
        try:
            text = decode(*codec.read_recording(request.audio))
        except ValueError as error:
            raise InvalidAudio(f"the recording is not a tone: {error}") from None
        return self._play(request, options, score_of(text, request.speed, options.chunk_ms), [], stop)

    def encode(self, audio: bytes) -> Tokens:
        """Return the tokens of a recording."""
        time.sleep(self._codec_seconds)
        return codec.tokens_of(audio)

    def decode(self, tokens: Tokens) -> AudioChunk:
        """Return the audio of tokens."""
        time.sleep(self._codec_seconds)
        return codec.audio_of(tokens)

    def _speak_turns(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield each turn as its voice of the cast plays it, without gaps between turns."""
        seconds, chars = 0.0, 0
        for turn in request.turns:
            voice = request.cast[turn.speaker or ""]
            said = ResolvedRequest(
                text=turn.text,
                voice=voice.voice,
                references=voice.references,
                prepared=voice.prepared,
                speed=request.speed,
                seed=request.seed,
                options=request.options,
            )
            begin = seconds
            for event in self.speak(said, stop):
                span = None if event.span is None else (event.span[0] + chars, event.span[1] + chars)
                if isinstance(event, AudioChunk):
                    seconds += event.seconds
                    yield msgspec.structs.replace(event, span=span)
                else:
                    yield msgspec.structs.replace(event, span=span, start=begin + event.start, end=begin + event.end)
            chars += len(turn.text) + 1

    def _play(
        self,
        request: ResolvedRequest | ResolvedConversion,
        options: ToneOptions,
        score: Score,
        marks: list[Mark],
        stop: Stop,
    ) -> Iterator[AudioChunk | Mark]:
        under = bed(pitch_for(request), request.seed)
        started, position = time.monotonic(), 0
        for index, (wave, span) in enumerate(score):
            _wait(options, started, position)
            _misbehave(options, index, self.memory)
            if stop.is_set() or options.empty:
                return
            start = position % SAMPLE_RATE
            samples = wave + under[start : start + len(wave)]
            if options.silent or options.nan:
                samples = np.full_like(samples, np.nan if options.nan else 0.0)
            position += len(wave)
            yield AudioChunk.of(samples, SAMPLE_RATE, span)
            while marks and round(marks[0].end * SAMPLE_RATE) <= position:
                yield marks.pop(0)


def _wait(options: ToneOptions, started: float, position: int) -> None:
    """Simulate the work on a chunk; in a paced stream also wait until its player is `lead_ms` away from it."""
    if options.step_ms:
        time.sleep(options.step_ms / 1000)
    if options.paced:
        due = started + position / SAMPLE_RATE - options.lead_ms / 1000
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)


def _misbehave(options: ToneOptions, index: int, device: ToneDevice) -> None:
    if index == options.full_at:
        device.fill()
    if index == options.break_at:
        device.break_down()
    device.step()
    if index == options.fail_at:
        raise RuntimeError(f"the tone backend fails at chunk {index}, as its options ask")
    if index == options.crash_at:
        _kill_this_process()
    if index == options.hang_at:
        threading.Event().wait()


def _kill_this_process() -> None:
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)
