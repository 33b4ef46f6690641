"""The worker side: loads a release, and speaks requests with it. The synthesizer holds no state of a request."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from msgspec.structs import replace

from hub.contract import AudioChunk, Mark, ModelConfig, Stop, Voice, VoiceDraft
from hub.contract.errors import InvalidRequest, UnknownVoice, UnsupportedCapability
from hub.contract.options import load_options, request_options
from hub.contract.speech import Reference, ResolvedRequest
from hub.nn.device import Placement, find_placement
from hub.nn.memory import DeviceMemory
from hub.text.speakable import check_speakable
from hub_gpt_sovits.capabilities import CAPABILITIES, SPEEDS
from hub_gpt_sovits.machinery import Machinery
from hub_gpt_sovits.options import GptSovitsLoadOptions, GptSovitsOptions
from hub_gpt_sovits.speaking import Parameters, Speaking, recordings_of

WARM_UP = "你好，欢迎使用语音合成。"
WARM_UP_RATE = 16_000


class GptSovits:
    """Speaks with the pair of weights that a request names, by default with the model's own."""

    def __init__(self) -> None:
        self.concurrency = 2
        self.capabilities = CAPABILITIES
        self.device = ""
        self._machinery: Machinery | None = None

    @staticmethod
    def placement(model: ModelConfig) -> Placement:
        """Where a model computes, and in which type; for `ttshub check` too. Raises WorkerStartFailed."""
        return find_placement(model, half=torch.float16, half_on_cpu=False)

    def load(self, model: ModelConfig) -> None:
        """Load the default pair and what it needs, and speak a word. Raises WorkerStartFailed."""
        options = load_options(model, GptSovitsLoadOptions)
        if options.threads:
            torch.set_num_threads(options.threads)
        placement = self.placement(model)
        machinery = Machinery(Path(model.path), options, placement)
        acoustics = machinery.load_default().acoustics
        self.files = machinery.voice_files
        self.device = str(placement.device)
        self.memory = DeviceMemory(placement.device)
        self.concurrency = machinery.concurrency
        self.capabilities = replace(
            CAPABILITIES,
            sample_rate=acoustics.sample_rate,
            needs_transcript=acoustics.vocoder is not None,
            languages=("zh", "en", "ja") if acoustics.symbols == "v1" else CAPABILITIES.languages,
        )
        self._machinery = machinery
        if options.warm_up:
            self._warm_up()

    def voices(self) -> list[Voice]:
        """An empty list: every voice is cloned."""
        return []

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Codes, style and mel of the recordings, for the default weights, as safetensors. Raises InvalidAudio."""
        if not draft.references:
            raise InvalidRequest("GPT-SoVITS makes a voice from a recording of 3 to 10 s; there is none")
        main, others = recordings_of(draft.references, draft.language)
        machinery = self._loaded()
        return machinery.voices.prepare(main, others, machinery.acoustics())

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield a chunk for each piece of the text (or for parts of it), silence between, and a mark for each piece."""
        machinery = self._loaded()
        options = request_options(request, GptSovitsOptions)
        text = checked_text(request)
        pair = machinery.pair(options.gpt, options.sovits)
        parameters = Parameters.of(request, options, pair)
        if options.super_sampling:
            machinery.upsampler(pair)
        if stop.is_set():
            return
        speaking = Speaking.of(machinery, pair, parameters, request, options, stop.is_set)
        yield from speaking.events(text, interval=options.fragment_interval, super_sampling=options.super_sampling)

    def close(self) -> None:
        """Drop the weights."""
        self._machinery = None

    def _warm_up(self) -> None:
        tone = np.sin(np.arange(WARM_UP_RATE * 4) * 0.05).astype(np.float32) * 0.1
        recording = io.BytesIO()
        soundfile.write(recording, tone, WARM_UP_RATE, format="WAV", subtype="FLOAT")
        request = ResolvedRequest(
            text=WARM_UP,
            references=(Reference(audio=recording.getvalue(), text="你好，世界。", language="zh"),),
            seed=0,
            options={"text_lang": "zh"},
        )
        for _ in self.speak(request, _Never()):
            break

    def _loaded(self) -> Machinery:
        if self._machinery is None:
            raise RuntimeError("the model is not loaded")
        return self._machinery


class _Never:
    """The `Stop` of a warm-up, which runs to its end."""

    def is_set(self) -> bool:
        return False


def checked_text(request: ResolvedRequest) -> str:
    """The text of a request. Raises HubError for all errors that can be found before any work."""
    if request.turns:
        raise UnsupportedCapability("GPT-SoVITS speaks one voice at a time", capability="dialogue")
    if request.voice is not None:
        raise UnknownVoice(f"GPT-SoVITS has no voices of its own, so no {request.voice[:100]!r}; give references")
    if not request.references:
        raise InvalidRequest("GPT-SoVITS needs a recording to speak like: give `references` or a stored voice")
    text = request.text or ""
    check_speakable(text)
    if not SPEEDS[0] <= request.speed <= SPEEDS[1]:
        raise InvalidRequest(f"GPT-SoVITS speaks at speeds of {SPEEDS[0]:g} to {SPEEDS[1]:g}, not {request.speed:g}")
    if request.sampling.max_new_tokens is not None:
        raise InvalidRequest("GPT-SoVITS does not take `max_new_tokens`; cut the text into shorter segments instead")
    if request.sampling.top_k is not None and request.sampling.top_k < 1:
        raise InvalidRequest("GPT-SoVITS needs a `top_k` of at least 1")
    return text
