"""The worker side of the cosyvoice backend."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from msgspec.structs import replace

from hub.contract.backend import Capabilities, ModelConfig, Stop
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import InvalidRequest, UnknownVoice, UnsupportedCapability
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.options import load_options, request_options
from hub.contract.speech import ResolvedRequest, Sampling
from hub.contract.voice import Voice, VoiceDraft
from hub.nn.memory import DeviceMemory
from hub.nn.recording import read_recording
from hub.text.speakable import nothing_to_speak
from hub_cosyvoice.capabilities import CAPABILITIES, LANGUAGES
from hub_cosyvoice.conversion import source_tokens
from hub_cosyvoice.decoding.interleave import GroupSizes
from hub_cosyvoice.machinery import Machinery, load_machinery
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.lm.qwen import QwenLM
from hub_cosyvoice.modes import choose_mode, language_tag, split_text
from hub_cosyvoice.options import CosyVoiceLoadOptions, CosyVoiceOptions
from hub_cosyvoice.prompt import Plan, Planner
from hub_cosyvoice.releases import variant_of
from hub_cosyvoice.speaking import Speaking
from hub_cosyvoice.text.split import bounded
from hub_cosyvoice.voices import EMBEDDING, Recordings, Speaker, preset_voices

MOST_BEFORE = 2048
"""Ids that instruction or transcript may have: with a recording of 30 s they leave room for text and speech."""


class CosyVoice:
    """Speaks with a checkpoint of any of the three generations. `self` holds no state of a request."""

    def __init__(self) -> None:
        self.capabilities: Capabilities = CAPABILITIES
        self.concurrency = 1
        self.device = ""
        self._loaded: Machinery | None = None

    def load(self, model: ModelConfig) -> None:
        """Load the checkpoint, declare what it can do, and warm up."""
        self._options = options = load_options(model, CosyVoiceLoadOptions)
        self._loaded = machinery = load_machinery(model, options)
        self._recordings = Recordings(machinery.features)
        self._planner = Planner(
            machinery.config.generation, machinery.tokenizer, machinery.normaliser, machinery.frames_per_token
        )
        variant = variant_of(model.path) if options.variant == "auto" else options.variant
        self.capabilities = _capabilities_of(machinery, variant)
        self.concurrency = options.concurrency
        self.device = str(machinery.device)
        self.memory = DeviceMemory(machinery.device)
        self._warm_up()

    def voices(self) -> list[Voice]:
        """The presets of spk2info.pt."""
        return preset_voices(self._machinery.presets)

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Speech tokens, mel, speaker embedding and transcript of the recordings."""
        if not draft.references:
            raise InvalidRequest("a voice is made of recordings: give at least one")
        return self._recordings.prepare(draft.references)

    def close(self) -> None:
        """Drop the model."""
        self._loaded = None
        self.__dict__.pop("_recordings", None)
        self.__dict__.pop("_planner", None)

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Segment by segment; with `stream`, in chunks while a segment is made."""
        text = request.text or ""
        if not text.strip():
            raise nothing_to_speak(blank=True)
        options = request_options(request, CosyVoiceOptions)
        plan, spoken, has_markers = self._plan(request, options, text)
        segments = self._segments(spoken, enabled=options.text_frontend and not has_markers)
        speaking = self._start(request, options, plan, stop, request.sampling)
        yield from speaking.speak(text, segments, stream=request.stream)

    def speak_live(
        self, request: ResolvedRequest, pieces: Iterator[str], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        """Text that arrives in pieces, interleaved with the speech as the models were trained for it."""
        machinery = self._machinery
        lm = machinery.lm
        if not isinstance(lm, QwenLM):
            raise UnsupportedCapability("the first generation takes no text in pieces", capability="live_text")
        options = request_options(request, CosyVoiceOptions)
        plan, _, _ = self._plan(request, options, "")
        text, speech = machinery.config.llm.get("mix_ratio", [5, 15])
        speaking = self._start(request, options, plan, stop, request.sampling)
        yield from speaking.speak_live(lm, pieces, GroupSizes(int(text), int(speech)))

    def convert(self, request: ResolvedConversion, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """The recording's words, pace and pauses, in another voice."""
        options = request_options(request, CosyVoiceOptions)
        if options.mode is not None:
            raise InvalidRequest("a conversion has no mode: leave it out", field="options.mode")
        recording = read_recording(request.audio)
        speaker = self._speaker(request)
        tokens = source_tokens(self._machinery.features, recording)
        speaking = self._start(request, options, Plan("conversion", speaker.prompt), stop)
        yield from speaking.convert(tokens, stream=request.stream)

    @property
    def _machinery(self) -> Machinery:
        if self._loaded is None:
            raise RuntimeError("the model is not loaded")
        return self._loaded

    def _start(
        self,
        request: ResolvedRequest | ResolvedConversion,
        options: CosyVoiceOptions,
        plan: Plan,
        stop: Stop,
        sampling: Sampling = Sampling(),  # noqa: B008  it is frozen
    ) -> Speaking:
        scheme = options.streaming or self._options.streaming
        if scheme == "official" and request.speed != 1.0 and request.stream:
            raise InvalidRequest("the official streaming scheme has no speed: leave one of the two out", field="speed")
        return Speaking.start(
            self._machinery,
            plan,
            stop,
            seed=request.seed,
            sampling=sampling,
            scheme=scheme,
            speed=request.speed,
            longest=self._options.longest,
        )

    def _plan(self, request: ResolvedRequest, options: CosyVoiceOptions, text: str) -> tuple[Plan, str, bool]:
        """The plan, the text without its caller's own markers, and True if it had any.

        Checks the whole request before any audio is made. Raises HubError.
        """
        generation = self._machinery.config.generation
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
        has_markers = preamble is not None or bool(tag)
        if generation == 1 and mode == "cross_lingual" and not tag:
            tag = language_tag(request.language, spoken)
        plan = self._planner.plan(
            mode, speaker, instruct=instruct, frontend=options.text_frontend, preamble=preamble, tag=tag
        )
        if len(plan.before) > MOST_BEFORE:
            raise InvalidRequest(
                f"instruction and transcript are {len(plan.before)} ids of text; the model reads at most {MOST_BEFORE}",
                field="instruct" if instruct else "references",
            )
        return plan, spoken, has_markers

    def _segments(self, text: str, *, enabled: bool) -> list[str]:
        segments = self._machinery.normaliser.segments(text, enabled=enabled)
        parts = [part for segment in segments for part in bounded(segment)]
        if not parts:
            raise nothing_to_speak(blank=False)
        return parts

    def _speaker(self, request: ResolvedRequest | ResolvedConversion) -> Speaker:
        """The speaker of a request. Raises UnknownVoice, InvalidRequest if it names none, InvalidAudio."""
        presets = self._machinery.presets
        if request.references:
            return self._recordings.speaker(request.references, request.prepared)
        if request.voice is None and presets:
            return next(iter(presets.values()))
        if request.voice is None:
            raise InvalidRequest(
                "this model has no voice of its own: give `references`, or a stored voice", field="voice"
            )
        if request.voice not in presets:
            known = ", ".join(presets) or "none"
            raise UnknownVoice(f"there is no voice {request.voice[:100]!r}; there are: {known}", voice=request.voice)
        return presets[request.voice]

    def _warm_up(self) -> None:
        """Say a word without a speaker: a GPU chooses its kernels and captures its graphs here. A CPU needs nothing."""
        machinery = self._machinery
        if machinery.device.type != "cuda":
            return
        machinery.sessions.warm(self.concurrency)
        bands = int(machinery.config.mel.get("num_mels", 80))
        speaker = Speaker(AcousticPrompt.of_embedding(torch.ones(EMBEDDING), bands))
        request = ResolvedRequest(text="Hello.", seed=0)
        plan = self._planner.plan("sft", speaker)
        speaking = self._start(request, CosyVoiceOptions(), plan, _Never(), Sampling(max_new_tokens=32))
        for _ in speaking.speak("Hello.", ["Hello."], stream=True):
            pass


class _Never:
    def is_set(self) -> bool:
        return False


def _capabilities_of(machinery: Machinery, variant: str) -> Capabilities:
    generation = machinery.config.generation
    return replace(
        CAPABILITIES,
        sample_rate=machinery.config.sample_rate,
        languages=LANGUAGES[generation],
        preset_voices=bool(machinery.presets),
        instruct=generation > 1 or variant in ("instruct", "auto"),
        live_text=generation > 1,
    )
