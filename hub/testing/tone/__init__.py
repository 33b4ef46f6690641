"""`tone`: the reference backend. It speaks no language: it plays the text, so that a test can read it back.

Each UTF-8 byte of the text is one symbol: two sines at once, one for each half of the byte, over a hum whose pitch is
the voice. `decode` recovers the exact text from the audio and `pitch_of` the voice, so that a test can prove that an
answer is its own. It is cheap, deterministic and can be told to misbehave in every way that a real backend might.

It is in no entry point: tests register it with `Plugins.discover(extra=[hub.testing.tone])`.
"""

from __future__ import annotations

import functools
import io
import math
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from hub.contract.backend import BackendSpec, Capabilities, ModelConfig, Stop
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import InvalidAudio, InvalidRequest, UnknownVoice
from hub.contract.event import AudioChunk, Mark, Span
from hub.contract.speech import CastVoice, Reference, ResolvedRequest, VoicePart
from hub.contract.tokens import Tokens
from hub.contract.voice import Voice, VoiceDraft
from hub.plugin.spec import hookimpl
from hub.text.speakable import nothing_to_speak

if TYPE_CHECKING:
    from hub.settings import Settings

SAMPLE_RATE = 24_000
SYMBOL = 960
"""Samples of one symbol at speed 1: 40 ms, so 25 bytes of text a second, about the pace of speech."""

LOW_BAND, HIGH_BAND, STEP = 600.0, 2300.0, 100.0
"""Hz of the first sine of each half, and between two sines. All under 4 kHz: audio at 8 kHz still carries the text."""

PITCHES = {"low": 110, "mid": 165, "high": 220}
"""Voice id -> pitch of the hum in Hz, whole numbers, so that one second of hum can be repeated without a seam."""

CLONED_PITCHES = range(250, 450, 5)
"""Where the hum of cloned voices lies, in Hz: the longer and the louder the references, the higher, round and round."""

Wave = npt.NDArray[np.float32]
_Options = TypeVar("_Options", bound=Struct)


class ToneOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Request options. Chunks are counted from 0."""

    chunk_ms: Annotated[int, Meta(ge=1, le=1000, description="length of a chunk; at least one symbol")] = 100
    paced: Annotated[bool, Meta(description="send chunks at playing speed instead of as fast as possible")] = False
    lead_ms: Annotated[int, Meta(ge=0, description="how far a paced stream runs ahead of its player")] = 100
    step_ms: Annotated[float, Meta(ge=0, description="simulated work for each chunk")] = 0.0
    seconds: Annotated[float, Meta(gt=0, le=100_000, description="a plain hum so long, instead of the text")] | None = (
        None
    )
    marks: Annotated[bool, Meta(description="a mark for each word")] = False
    fail_at: Annotated[int, Meta(ge=0, description="raise an unexpected error before this chunk")] | None = None
    crash_at: Annotated[int, Meta(ge=0, description="kill the worker process before this chunk")] | None = None
    hang_at: Annotated[int, Meta(ge=0, description="block for ever before this chunk, deaf to stop")] | None = None
    silent: Annotated[bool, Meta(description="samples of zero")] = False
    nan: Annotated[bool, Meta(description="samples that are not a number")] = False
    empty: Annotated[bool, Meta(description="no audio at all")] = False


class ToneLoadOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME.options]`."""

    load_seconds: Annotated[float, Meta(ge=0)] = 0.0
    fail_load: bool = False
    crash_load: bool = False
    concurrency: Annotated[int, Meta(ge=1)] = 16
    live_text: Annotated[bool, Meta(description="read text as it arrives (`speak_live`)")] = False
    dialogue: Annotated[bool, Meta(description="play all turns of a dialogue at once")] = False
    phonemes: Annotated[bool, Meta(description="play /phonemes/, as any other text")] = False
    mixing: Annotated[bool, Meta(description="blend voices: the pitch between theirs")] = False
    prepared_suffices: Annotated[bool, Meta(description="speak as a stored voice without its recordings")] = False
    codec: Annotated[bool, Meta(description="tokens are the two bytes of each 16-bit sample")] = False
    codec_seconds: Annotated[float, Meta(ge=0, description="simulated work for each call of the codec")] = 0.0
    conversion: Annotated[bool, Meta(description="play the text of a tone again, as another voice")] = False


class Tone:
    """The synthesizer. Holds no state of a request, so any number of `speak` calls may run at once."""

    capabilities = Capabilities(
        sample_rate=SAMPLE_RATE, preset_voices=True, cloning=True, streaming=True, speed=True, seed=True
    )

    def __init__(self) -> None:
        self.concurrency = ToneLoadOptions().concurrency

    def load(self, model: ModelConfig) -> None:
        """Nothing to load, which may take `load_seconds`, fail or crash, as the model's options say."""
        options = _convert(model.options, ToneLoadOptions)
        time.sleep(options.load_seconds)
        if options.fail_load:
            raise RuntimeError("tone was told to fail while loading")
        if options.crash_load:
            _kill_this_process()
        self.concurrency = options.concurrency
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
        _symbols(SYMBOL)

    def voices(self) -> list[Voice]:
        """Three pitches."""
        return [
            Voice(id=name, name=name.title(), description=f"a hum of {pitch} Hz", default=name == "mid")
            for name, pitch in PITCHES.items()
        ]

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """The pitch of the voice, as decimal digits."""
        return str(_cloned_pitch(draft.references)).encode()

    def mix_voices(self, parts: list[VoicePart]) -> bytes:
        """The pitch between the pitches of the parts, to the nearest 5 Hz, as decimal digits."""
        pitches = [_pitch_of(part.voice) * part.weight for part in parts]
        return str(round(sum(pitches) / 5) * 5).encode()

    def close(self) -> None:
        """Nothing to free but the symbols."""
        _symbols.cache_clear()

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield chunks of `chunk_ms`, and marks if asked for."""
        if request.turns:
            return self._speak_turns(request, stop)
        options = _convert(request.options, ToneOptions)
        text = request.text or ""
        if not text:
            raise nothing_to_speak(blank=True)
        if options.seconds is not None:
            score = _hum(options.seconds, options.chunk_ms)
        else:
            score = _score(text, request.speed, options.chunk_ms)
        marks = _word_marks(text, request.speed) if options.marks and options.seconds is None else []
        return self._play(request, options, score, marks, stop)

    def speak_live(self, request: ResolvedRequest, pieces: Iterator[str], stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield the chunks of each piece as it comes."""
        options = _convert(request.options, ToneOptions)
        return self._play(request, options, _live_score(pieces, request.speed, options.chunk_ms), [], stop)

    def convert(self, request: ResolvedConversion, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Read the text out of the recording, and play it as the other voice."""
        options = _convert(request.options, ToneOptions)
        try:
            text = decode(*_wav(request.audio))
        except ValueError as error:
            raise InvalidAudio(f"the recording is no tone: {error}") from None
        return self._play(request, options, _score(text, request.speed, options.chunk_ms), [], stop)

    def encode(self, audio: bytes) -> Tokens:
        """Row 0 is the high byte and row 1 the low byte of each 16-bit sample, at SAMPLE_RATE; a frame is a sample."""
        time.sleep(self._codec_seconds)
        samples, rate = _wav(audio)
        if rate != SAMPLE_RATE:
            times = np.arange(round(len(samples) * SAMPLE_RATE / rate)) * rate / SAMPLE_RATE
            samples = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
        words = np.round(samples.clip(-1, 1) * 32767).astype(np.int32) + 32768
        return Tokens.of(np.stack([words >> 8, words & 255]))

    def decode(self, tokens: Tokens) -> AudioChunk:
        """The samples again."""
        time.sleep(self._codec_seconds)
        ids = np.frombuffer(tokens.ids, "<i4").reshape(tokens.codebooks, -1)
        if len(ids) != 2 or ids.min(initial=0) < 0 or ids.max(initial=0) > 255:
            raise InvalidRequest("the tone backend has 2 codebooks of 256 tokens")
        return AudioChunk.of(((ids[0] * 256 + ids[1] - 32768) / 32767).astype(np.float32), SAMPLE_RATE)

    def _speak_turns(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Each turn as its voice of the cast plays it, with no gap between them."""
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
        score: Iterator[tuple[Wave, Span | None]],
        marks: list[Mark],
        stop: Stop,
    ) -> Iterator[AudioChunk | Mark]:
        bed = _bed(_pitch_of(request), request.seed)
        started, position = time.monotonic(), 0
        for index, (wave, span) in enumerate(score):
            _wait(options, started, position)
            _misbehave(options, index)
            if stop.is_set() or options.empty:
                return
            start = position % SAMPLE_RATE
            samples = wave + bed[start : start + len(wave)]
            if options.silent or options.nan:
                samples = np.full_like(samples, np.nan if options.nan else 0.0)
            position += len(wave)
            yield AudioChunk.of(samples, SAMPLE_RATE, span)
            while marks and round(marks[0].end * SAMPLE_RATE) <= position:
                yield marks.pop(0)


def decode(samples: npt.ArrayLike, sample_rate: int) -> str:
    """The text that `samples` (mono, in [-1, 1]) play. Raises ValueError if they are no tone.

    Good for anything that keeps time: wav, pcm, flac, any rate from 8 kHz up, 16 bits.
    """
    wave = np.asarray(samples, dtype=np.float64)
    head = SYMBOL * sample_rate / SAMPLE_RATE
    header = _read_symbols(wave[: round(2 * head)], head, sample_rate)
    if len(header) != 2:
        raise ValueError("too short to be a tone")
    length = int.from_bytes(header, "big") * sample_rate / SAMPLE_RATE
    if length <= 0:
        raise ValueError("the header of this tone is damaged")
    return _read_symbols(wave[round(2 * head) :], length, sample_rate).decode()


def pitch_of(samples: npt.ArrayLike, sample_rate: int) -> int:
    """The pitch of the hum in Hz, to the nearest 5: which voice this is. Wants at least half a second."""
    wave = np.asarray(samples, dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), n=max(len(wave), 2 * sample_rate)))
    hertz = np.fft.rfftfreq(max(len(wave), 2 * sample_rate), 1 / sample_rate)
    hum = (hertz > 80) & (hertz < 500)
    return round(float(hertz[hum][np.argmax(spectrum[hum])]) / 5) * 5


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The tone backend, with no default model: only tests configure one."""
    return [
        BackendSpec(
            name="tone",
            synthesizer="hub.testing.tone:Tone",
            contract=1,
            title="Tone",
            description="Plays the text as tones that can be decoded. For tests and benchmarks.",
            capabilities=Tone.capabilities,
            options=ToneOptions,
            licence="Apache-2.0",
        )
    ]


def _convert(options: dict[str, Any], kind: type[_Options]) -> _Options:
    try:
        return msgspec.convert(options, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"options of the tone backend: {error}") from error


def _pitch_of(voice: ResolvedRequest | ResolvedConversion | CastVoice) -> int:
    """The pitch of a preset, of recordings, or of what `make_voice` or `mix_voices` made."""
    if any(reference.audio for reference in voice.references):
        return _cloned_pitch(voice.references)
    if voice.prepared:
        return int(voice.prepared)
    name = voice.voice or "mid"
    if name not in PITCHES:
        raise UnknownVoice(f"the tone backend has no voice {name!r}; it has {', '.join(PITCHES)}", voice=name)
    return PITCHES[name]


def _cloned_pitch(references: tuple[Reference, ...]) -> int:
    """A pitch that follows from how long (in tenths of a second) and how loud (in dB) the references are together."""
    index = 0
    for reference in references:
        samples, rate = _wav(reference.audio)
        loudness = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
        index += round(10 * len(samples) / rate) + round(20 * math.log10(max(loudness, 1e-5)))
    return CLONED_PITCHES[index % len(CLONED_PITCHES)]


def _wav(audio: bytes) -> tuple[Wave, int]:
    """Samples and rate of a recording as the hub must have made it: mono 32-bit float WAV."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(audio)) as file:
        if (file.format, file.subtype, file.channels) != ("WAV", "FLOAT", 1):
            raise RuntimeError(f"a recording came as {file.format} {file.subtype}, {file.channels} channels")
        return file.read(dtype="float32"), file.samplerate


def _symbol_length(speed: float) -> int:
    return max(1, round(SYMBOL / speed))


@functools.lru_cache(maxsize=4)
def _symbols(length: int) -> Wave:
    """All symbols of one length, (256, length)."""
    time_axis = np.arange(length) / SAMPLE_RATE
    halves = np.arange(16)[:, None]
    low = np.sin(2 * np.pi * (LOW_BAND + STEP * halves) * time_axis)
    high = np.sin(2 * np.pi * (HIGH_BAND + STEP * halves) * time_axis)
    return np.asarray(0.2 * (high[:, None, :] + low[None, :, :]).reshape(256, length), dtype=np.float32)


def _bed(pitch: int, seed: int | None) -> Wave:
    """Hum and dither under the symbols, (3 * SAMPLE_RATE,); its period is one second. The seed is in the dither."""
    hum = 0.1 * np.sin(2 * np.pi * pitch * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    dither = np.random.default_rng(seed).uniform(-1e-3, 1e-3, SAMPLE_RATE)
    return np.tile((hum + dither).astype(np.float32), 3)


def _live_score(pieces: Iterator[str], speed: float, chunk_ms: int) -> Iterator[tuple[Wave, Span | None]]:
    chars = 0
    for piece in pieces:
        yield from _score(piece, speed, chunk_ms, chars)
        chars += len(piece)


def _score(text: str, speed: float, chunk_ms: int, chars: int = 0) -> Iterator[tuple[Wave, Span | None]]:
    """Symbols by the chunk, with the span of text they play, which has `chars` before it.

    The first two symbols of all tell the length of the others.
    """
    length = _symbol_length(speed)
    symbols, data = _symbols(length), np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    header = _symbols(SYMBOL)[np.frombuffer(length.to_bytes(2, "big"), dtype=np.uint8)].ravel()
    per_chunk = max(1, round(chunk_ms * SAMPLE_RATE / 1000 / length))
    if chars:
        header = header[:0]
    for start in range(0, len(data), per_chunk):
        part = data[start : start + per_chunk]
        wave = symbols[part].ravel()
        begins = int(np.count_nonzero((part & 0xC0) != 0x80))  # every byte but those that continue a character
        yield (wave if start else np.concatenate([header, wave])), (max(0, chars - (begins == 0)), chars + begins)
        chars += begins


def _hum(seconds: float, chunk_ms: int) -> Iterator[tuple[Wave, Span | None]]:
    left, size = round(seconds * SAMPLE_RATE), max(1, chunk_ms * SAMPLE_RATE // 1000)
    nothing = np.zeros(size, dtype=np.float32)
    while left > 0:
        yield nothing[: min(size, left)], None
        left -= size


def _word_marks(text: str, speed: float) -> list[Mark]:
    symbol = _symbol_length(speed) / SAMPLE_RATE
    marks, begin, chars = [], 2 * SYMBOL / SAMPLE_RATE, 0
    for word in re.finditer(r"\S+", text):
        begin += len(text[chars : word.start()].encode()) * symbol
        end = begin + len(word.group().encode()) * symbol
        marks.append(Mark(kind="word", start=begin, end=end, text=word.group(), span=word.span()))
        begin, chars = end, word.end()
    return marks


def _read_symbols(wave: npt.NDArray[np.float64], length: float, sample_rate: int) -> bytes:
    """The bytes of all symbols of `length` samples in `wave`, by the strongest sine of each band."""
    count = round(len(wave) / length)
    width = int(length)
    starts = np.minimum(np.round(np.arange(count) * length).astype(int), len(wave) - width)
    frames = np.lib.stride_tricks.sliding_window_view(wave, width)[starts] if count else np.zeros((0, width))
    hertz = np.concatenate([LOW_BAND + STEP * np.arange(16), HIGH_BAND + STEP * np.arange(16)])
    sines = np.exp(-2j * np.pi * np.arange(width)[:, None] * hertz / sample_rate) * np.hanning(width + 2)[1:-1, None]
    strength = np.abs(frames @ sines)
    return bytes((strength[:, :16].argmax(1) | strength[:, 16:].argmax(1) << 4).tolist())


def _wait(options: ToneOptions, started: float, position: int) -> None:
    """Simulate the work on a chunk; in a paced stream also wait until its player is `lead_ms` away from it."""
    if options.step_ms:
        time.sleep(options.step_ms / 1000)
    if options.paced:
        due = started + position / SAMPLE_RATE - options.lead_ms / 1000
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)


def _misbehave(options: ToneOptions, index: int) -> None:
    if index == options.fail_at:
        raise RuntimeError(f"tone was told to fail at chunk {index}")
    if index == options.crash_at:
        _kill_this_process()
    if index == options.hang_at:
        threading.Event().wait()


def _kill_this_process() -> None:
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)
