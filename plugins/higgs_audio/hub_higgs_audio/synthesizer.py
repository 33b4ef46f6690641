"""The worker side of the Higgs Audio backend: loads a checkpoint and speaks requests."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from msgspec.structs import replace

from hub.contract import (
    AudioChunk,
    Capabilities,
    CastVoice,
    Done,
    Mark,
    ModelConfig,
    ResolvedRequest,
    Stop,
    Tokens,
    Voice,
    VoiceDraft,
)
from hub.contract.errors import (
    EmptyAudio,
    InvalidRequest,
    UnspeakableText,
    UnsupportedCapability,
    WorkerStartFailed,
)
from hub.text.speakable import is_speakable
from hub_higgs_audio import CAPABILITIES
from hub_higgs_audio.checkpoint import load_codec, load_language, load_tokens
from hub_higgs_audio.chunking import Chunk, chunks_of
from hub_higgs_audio.conversation import check_alone, messages_of
from hub_higgs_audio.layout import find_codec, find_language
from hub_higgs_audio.model.codec import Codec
from hub_higgs_audio.model.generate import make_step
from hub_higgs_audio.model.language import LanguageModel
from hub_higgs_audio.model.sampling import Settings
from hub_higgs_audio.model.slots import Slots
from hub_higgs_audio.options import HiggsLoadOptions, HiggsOptions
from hub_higgs_audio.prompt import Message, frame
from hub_higgs_audio.references import read_wave
from hub_higgs_audio.script import Script, script_of
from hub_higgs_audio.speech import Care, Speech
from hub_higgs_audio.story import Engine, Story
from hub_higgs_audio.tokens import without_control
from hub_higgs_audio.vocoder import Packets, decode_whole
from hub_higgs_audio.voices import Voices, load_profiles

WORDS = {"sentence": 60, "word": 200}
"""Words of a chunk where a request names no number."""

DEFAULTS = Settings(temperature=0.3, top_k=50, top_p=0.95)
"""Sampling where a request says nothing: cool, which is what keeps this model to its text."""

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class HiggsSynthesizer:
    """Speaks Higgs Audio v2. Nothing of a request is kept in `self`, so calls may run side by side."""

    def load(self, model: ModelConfig) -> None:
        """Load both parts of the checkpoint and say a word. Raises WorkerStartFailed, InvalidRequest."""
        try:
            self._load_options = msgspec.convert(model.options, HiggsLoadOptions)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"load options of the Higgs Audio backend: {error}") from error
        options = self._load_options
        device = device_of(model.device)
        dtype = type_of(model.dtype, device)
        torch.backends.cudnn.allow_tf32 = False  # the codec is float32 in earnest: codes hang on its last digits
        part, codec_part = find_language(model.path), find_codec(model.path, options.codec)
        language = load_language(part, device, dtype)
        codec_at = device_of(options.codec_device) if options.codec_device else codec_device(device)
        self._codec = load_codec(codec_part, codec_at)
        check_match(language, self._codec)
        self._engine = Engine(
            language,
            load_tokens(part),
            Slots(language, make_step, keep=options.streams, compiled=model.compile),
            min(options.max_positions, language.sizes.max_positions),
        )
        self._voices = Voices(self._codec, load_profiles(options.profiles, Path(model.path).expanduser()))
        self.concurrency = options.streams
        self.capabilities: Capabilities = replace(CAPABILITIES, sample_rate=self._codec.sample_rate)
        self._warm_up()

    def voices(self) -> list[Voice]:
        """`smart`, and the described voices."""
        return self._voices.presets()

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Yield audio as it is generated, then a Done with the report."""
        options = msgspec.convert(request.options, HiggsOptions)
        if not options.force_audio and not self._engine.model.writes_text:
            raise UnsupportedCapability("this checkpoint has no text head; leave the option force_audio at true")
        if options.conversation:
            check_alone(request)
        script = Script(request.text or "", ()) if options.conversation else script_of(request)
        chunks = self._chunks(script, options)
        messages = self._messages(request, script, options)
        if stop.is_set():
            return
        seed = request.seed if request.seed is not None else secrets.randbits(62)
        story = Story(
            self._engine,
            messages,
            settings_of(request, options),
            stop,
            keep=options.generation_chunk_buffer_size,
            forced_audio=options.force_audio,
        )
        speech = Speech(story, self._codec, self._care(request, options), seed, stop)
        yield from speech.events(chunks)
        if not speech.frames and not stop.is_set():
            raise EmptyAudio("the model gave no audio for this text; try again, with another seed or another voice")
        yield Done(speech.report)

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """The codes of the recordings, so that no request has to encode them. Raises InvalidAudio."""
        return self._voices.prepare(draft.references)

    def encode(self, audio: bytes) -> Tokens:
        """The codec's codes of a recording, (codebooks, frames) at 25 frames a second. Raises InvalidAudio."""
        codes = self._codec.encode(read_wave(audio, self._codec.sample_rate))
        return Tokens.of(codes.int().contiguous().numpy())

    def decode(self, tokens: Tokens) -> AudioChunk:
        """The audio of codes. Raises InvalidRequest for a wrong number of codebooks, or an id that none has."""
        codec = self._codec
        if tokens.codebooks != codec.codebooks:
            raise InvalidRequest(f"this codec has {codec.codebooks} codebooks, not {tokens.codebooks}")
        codes = torch.tensor(tokens.rows, dtype=torch.long)
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codec.codebook_size:
            raise InvalidRequest(f"the ids of this codec go from 0 to {codec.codebook_size - 1}")
        wave = decode_whole(codec, codes).clamp(-1, 1)
        return AudioChunk.of(wave.numpy(), codec.sample_rate)

    def close(self) -> None:
        """Free the weights."""
        del self._engine, self._codec, self._voices
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _messages(self, request: ResolvedRequest, script: Script, options: HiggsOptions) -> list[Message]:
        """What stands before the text. Raises UnknownVoice, InvalidAudio, InvalidRequest."""
        if options.conversation:
            heard = self._voices.speaker(CastVoice(references=request.references, prepared=request.prepared))
            return messages_of(options.conversation, [codes for codes, _ in heard.recordings])
        speakers = [self._voices.speaker(voice) for voice in script.cast]
        scene = without_control(request.scene_text or "").strip() or None
        in_system = options.ref_audio_in_system_message
        return frame(scene, speakers, script.tags, in_system=in_system, tagged=bool(script.tags))

    def _chunks(self, script: Script, options: HiggsOptions) -> list[Chunk]:
        method = options.chunk_method
        words = options.chunk_max_word_num or WORDS.get(method or "", 1)
        chunks = [
            chunk._replace(span=script.back(chunk.span))
            for chunk in chunks_of(script.text, method, words=words, turns=options.chunk_max_num_turns)
        ]
        if not chunks or not is_speakable(" ".join(chunk.text for chunk in chunks)):
            raise UnspeakableText("the text has nothing that can be said: no letter and no number; add words")
        return chunks

    def _care(self, request: ResolvedRequest, options: HiggsOptions) -> Care:
        load = self._load_options
        asked = request.sampling.max_new_tokens
        return Care(
            max_new_tokens=asked or load.max_new_tokens,
            packets=Packets(load.first_frames, load.packet_frames, options.early),
            max_silence=options.max_silence,
            length_budget=options.length_budget,
            retry=options.retry,
            hold=not request.stream,
        )

    def _warm_up(self) -> None:
        """A few steps: libraries choose their kernels, and on a GPU the first graph is captured."""
        request = ResolvedRequest(
            text="Hello.", seed=0, sampling=msgspec.convert({"max_new_tokens": 32}, type(ResolvedRequest().sampling))
        )
        try:
            for _ in self.speak(request, threading.Event()):
                pass
        except EmptyAudio:  # so short an answer may well be none
            pass


def check_match(language: LanguageModel, codec: Codec) -> None:
    """Both parts have the same codebooks. Raises WorkerStartFailed."""
    ours = language.sizes.codebooks, language.sizes.codebook_size
    theirs = codec.codebooks, codec.codebook_size
    if ours != theirs:
        raise WorkerStartFailed(
            f"the language model has {ours[0]} codebooks of {ours[1]} and the codec {theirs[0]} of {theirs[1]}; "
            "they do not belong together"
        )


def settings_of(request: ResolvedRequest, options: HiggsOptions) -> Settings:
    """How tokens are drawn. Raises UnsupportedCapability for a repetition penalty."""
    asked = request.sampling
    if asked.repetition_penalty not in (None, 1.0):
        raise UnsupportedCapability(
            "Higgs Audio has no repetition penalty; leave it out and set the options ras_win_len and "
            "ras_win_max_num_repeat",
            capability="sampling",
        )
    return Settings(
        temperature=DEFAULTS.temperature if asked.temperature is None else asked.temperature,
        top_k=DEFAULTS.top_k if asked.top_k is None else asked.top_k,
        top_p=DEFAULTS.top_p if asked.top_p is None else asked.top_p,
        ras_window=options.ras_win_len,
        ras_repeats=options.ras_win_max_num_repeat,
    )


def device_of(name: str) -> torch.device:
    """`auto` is CUDA or MPS where there is one. Raises WorkerStartFailed for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise WorkerStartFailed(f"there is no device {name[:40]!r}; write auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise WorkerStartFailed("the model is to run on CUDA, and torch finds no such device; set its `device`")
    return device


def codec_device(device: torch.device) -> torch.device:
    """Where the codec goes: to the model, except on MPS, whose float32 convolutions differ."""
    return torch.device("cpu") if device.type == "mps" else device


def type_of(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and float32 elsewhere. Raises WorkerStartFailed."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in TYPES:
        raise WorkerStartFailed(f"there is no dtype {name[:40]!r}; write auto, {', '.join(TYPES)}")
    return TYPES[name]
