"""The worker side of the cosyvoice backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import msgspec
import torch
from msgspec.structs import replace

from hub.contract.backend import Capabilities, ModelConfig, Stop
from hub.contract.conversion import ConversionRequest, ResolvedConversion
from hub.contract.errors import EmptyText, InvalidRequest, UnknownVoice, UnspeakableText, UnsupportedCapability
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import ResolvedRequest, Sampling, SpeechRequest
from hub.contract.voice import Voice, VoiceDraft
from hub_cosyvoice import CAPABILITIES, LANGUAGES
from hub_cosyvoice.checkpoint import Loaded, load_checkpoint
from hub_cosyvoice.conversion import source_tokens
from hub_cosyvoice.lm.bistream import Mix
from hub_cosyvoice.modes import Plan, Planner, choose_mode, language_tag, split_text
from hub_cosyvoice.options import CosyVoiceLoadOptions, CosyVoiceOptions
from hub_cosyvoice.prompt import Prompt
from hub_cosyvoice.speakers import EMBEDDING, Recordings, Speaker, preset_voices, read_wave
from hub_cosyvoice.speaking import Run
from hub_cosyvoice.text.split import bounded

MOST_BEFORE = 2048
"""Ids that instruction or transcript may have: with a recording of 30 s they leave room for text and speech."""


class CosyVoice:
    """All three generations; the checkpoint says which. Nothing of a request is kept in `self`."""

    def __init__(self) -> None:
        self.capabilities: Capabilities = CAPABILITIES
        self.concurrency = 1
        self._model: Loaded | None = None

    def load(self, model: ModelConfig) -> None:
        """Load the checkpoint, see what it can do, and warm up."""
        try:
            options = msgspec.convert(model.options, CosyVoiceLoadOptions)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"load options of the cosyvoice backend: {error}") from error
        self._options = options
        self._model = loaded = load_checkpoint(model, options)
        self._recordings = Recordings(loaded.features)
        self._planner = Planner(loaded.config.generation, loaded.tokenizer, loaded.normaliser, loaded.frames_per_token)
        self._variant = variant_of(model.path) if options.variant == "auto" else options.variant
        self.concurrency = options.concurrency
        self.capabilities = self._what_it_can(loaded)
        self._warm_up(loaded)

    def voices(self) -> list[Voice]:
        """The presets of spk2info.pt."""
        return preset_voices(self._loaded.presets)

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Speech tokens, mel and speaker embedding of the recordings, as safetensors."""
        if not draft.references:
            raise InvalidRequest("a voice is made of recordings: give at least one")
        return self._recordings.prepare(draft.references)

    def close(self) -> None:
        """Drop the model."""
        self._model = None
        self.__dict__.pop("_recordings", None)
        self.__dict__.pop("_planner", None)

    def speak(self, request: SpeechRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Segment by segment; with `stream`, in chunks while a segment is made."""
        text = request.text or ""
        if not text.strip():
            raise EmptyText("there is no text to speak")
        options = _options(request)
        plan, spoken, marked = self._plan(request, options, text)
        segments = self._segments(spoken, enabled=options.text_frontend and not marked)
        run = self._run(request, options, plan, stop)
        yield from run.speak(text, segments, stream=request.stream)

    def speak_live(
        self, request: SpeechRequest, pieces: Iterator[str], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        """Text that arrives in pieces, interleaved with the speech as the models were trained for it."""
        if self._loaded.config.generation == 1:
            raise UnsupportedCapability("the first generation takes no text in pieces", capability="live_text")
        options = _options(request)
        plan, _, _ = self._plan(request, options, "")
        ratio = self._loaded.config.llm.get("mix_ratio", [5, 15])
        yield from self._run(request, options, plan, stop).speak_live(pieces, Mix(int(ratio[0]), int(ratio[1])))

    def convert(self, request: ResolvedConversion, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """The recording's words, pace and pauses, in another voice."""
        options = _options(request)
        if options.mode is not None:
            raise InvalidRequest("a conversion has no mode: leave it out", field="options.mode")
        wave, rate = read_wave(request.audio)
        speaker = self._speaker(request)
        tokens = source_tokens(self._loaded.features, wave, rate)
        run = self._run(request, options, Plan("conversion", speaker.prompt), stop)
        yield from run.convert(tokens, stream=request.stream)

    @property
    def _loaded(self) -> Loaded:
        if self._model is None:
            raise RuntimeError("the model is not loaded")
        return self._model

    def _run(
        self, request: SpeechRequest | ConversionRequest, options: CosyVoiceOptions, plan: Plan, stop: Stop
    ) -> Run:
        scheme = options.streaming or self._options.streaming
        if scheme == "official" and request.speed != 1.0 and request.stream:
            raise InvalidRequest("the official streaming scheme has no speed: leave one of the two out", field="speed")
        return Run.start(
            self._loaded,
            plan,
            stop,
            seed=request.seed,
            sampling=request.sampling if isinstance(request, SpeechRequest) else Sampling(),
            scheme=scheme,
            speed=request.speed,
            longest=self._options.longest,
        )

    def _plan(self, request: SpeechRequest, options: CosyVoiceOptions, text: str) -> tuple[Plan, str, bool]:
        """The plan, the text without its caller's own markers, and whether there were such.

        Raises what is wrong with the request, before anything is made.
        """
        generation = self._loaded.config.generation
        speaker = self._speaker(request)
        instruct = (request.instruct or "").strip() or None
        mode = choose_mode(generation, speaker, forced=options.mode, instruct=instruct, language=request.language)
        if mode == "instruct" and not self.capabilities.instruct:
            raise UnsupportedCapability(
                "this CosyVoice-300M follows no instructions; CosyVoice-300M-Instruct does", capability="instruct"
            )
        preamble, tag, spoken = split_text(generation, text)
        if preamble is not None and mode == "instruct2":
            raise InvalidRequest("the text has an instruction of its own: give it in `instruct` only", field="text")
        marked = preamble is not None or bool(tag)
        if generation == 1 and mode == "cross_lingual" and not tag:
            tag = language_tag(request.language, spoken)
        plan = self._planner.plan(
            mode, speaker, instruct=instruct, frontend=options.text_frontend, preamble=preamble, tag=tag
        )
        if len(plan.before) > MOST_BEFORE:
            raise InvalidRequest(
                f"instruction and transcript are {len(plan.before)} ids of text; at most {MOST_BEFORE} can be read",
                field="instruct" if instruct else "references",
            )
        return plan, spoken, marked

    def _segments(self, text: str, *, enabled: bool) -> list[str]:
        segments = self._loaded.normaliser.segments(text, enabled=enabled)
        parts = [part for segment in segments for part in bounded(segment)]
        if not parts:
            raise UnspeakableText("the text has nothing to say, only punctuation or symbols: add words")
        return parts

    def _speaker(self, request: SpeechRequest | ConversionRequest) -> Speaker:
        """Who is to speak. Raises UnknownVoice, InvalidRequest if nobody is named, InvalidAudio."""
        presets = self._loaded.presets
        if request.references:
            prepared = request.prepared if isinstance(request, ResolvedRequest | ResolvedConversion) else None
            return self._recordings.speaker(request.references, prepared)
        if request.voice is None and presets:
            return next(iter(presets.values()))
        if request.voice is None:
            raise InvalidRequest(
                "this model has no voice of its own: give `references`, or a stored voice", field="voice"
            )
        if request.voice not in presets:
            there = ", ".join(presets) or "none"
            raise UnknownVoice(f"there is no voice {request.voice[:100]!r}; there are: {there}", voice=request.voice)
        return presets[request.voice]

    def _what_it_can(self, loaded: Loaded) -> Capabilities:
        generation = loaded.config.generation
        return replace(
            CAPABILITIES,
            sample_rate=loaded.config.sample_rate,
            languages=LANGUAGES[generation],
            preset_voices=bool(loaded.presets),
            instruct=generation > 1 or self._variant in ("instruct", "auto"),
            live_text=generation > 1,
        )

    def _warm_up(self, loaded: Loaded) -> None:
        """Say a word as nobody: on a GPU kernels are chosen and graphs captured here. The CPU has nothing to warm."""
        if loaded.device.type != "cuda":
            return
        loaded.seats.warm(self.concurrency)
        nobody = Speaker(Prompt.of_embedding(torch.ones(EMBEDDING), int(loaded.config.mel.get("num_mels", 80))))
        request = SpeechRequest(text="Hello.", seed=0, sampling=Sampling(max_new_tokens=32))
        run = self._run(request, CosyVoiceOptions(), self._planner.plan("sft", nobody), _Never())
        for _ in run.speak("Hello.", ["Hello."], stream=True):
            pass


class _Never:
    def is_set(self) -> bool:
        return False


def variant_of(path: str) -> str:
    """Which CosyVoice-300M a path names: `base`, `sft`, `instruct`, or `auto` if it does not say."""
    name = PurePath(path).name.lower()
    for variant in ("sft", "instruct"):
        if variant in name:
            return variant
    return "base" if name in ("300m", "cosyvoice-300m", "cosyvoice-300m-25hz") else "auto"


def _options(request: SpeechRequest | ConversionRequest) -> CosyVoiceOptions:
    try:
        return msgspec.convert(request.options, CosyVoiceOptions)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"options of the cosyvoice backend: {error}") from error
