"""The worker side: a release's folder, loaded, and requests spoken with it. Nothing of a request is kept in `self`."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import soundfile
import torch
from msgspec.structs import replace

from hub.contract import AudioChunk, Mark, ModelConfig, Stop, Voice, VoiceDraft
from hub.contract.errors import (
    EmptyText,
    InvalidRequest,
    UnknownVoice,
    UnspeakableText,
    UnsupportedCapability,
)
from hub.contract.speech import Reference, ResolvedRequest, SpeechRequest
from hub.nn.sampling import request_generator
from hub_gpt_sovits import CAPABILITIES
from hub_gpt_sovits.engine import Engine, EngineSettings, Pair
from hub_gpt_sovits.model.decoding import Choice, GeneratorDraws
from hub_gpt_sovits.model.upsampling import Upsampler
from hub_gpt_sovits.model.vits import Vits
from hub_gpt_sovits.options import GptSovitsLoadOptions, GptSovitsOptions
from hub_gpt_sovits.rendering import Manner
from hub_gpt_sovits.speaking import OWN_STREAMING, Piecewise, Settings, loud, speak_batches, speak_tokens
from hub_gpt_sovits.text import LANGUAGES
from hub_gpt_sovits.voicing import Spoken
from hub_gpt_sovits.voicing import Voice as Prompted

log = logging.getLogger("hub_gpt_sovits")

ALONE = {"zh": "zh", "en": "en", "ja": "ja", "ko": "ko", "yue": "yue"}
"""Primary BCP 47 subtags -> how a text of that language is read, with English in it."""

SPEEDS = (0.5, 2.0)
"""Beyond them frames are stretched so far that words are lost."""

WARM_UP = "你好，欢迎使用语音合成。"


class GptSovits:
    """Speaks with the pairs of weights that requests name, the model's own by default."""

    def __init__(self) -> None:
        self.concurrency = 2
        self.capabilities = CAPABILITIES
        self._engine: Engine | None = None
        self._device = torch.device("cpu")

    def load(self, model: ModelConfig) -> None:
        """Load the default pair and what it needs, and speak a word. Raises CheckpointError, InvalidRequest."""
        try:
            options = msgspec.convert(model.options, GptSovitsLoadOptions)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"load options of the gpt_sovits backend: {error}") from error
        if options.threads:
            torch.set_num_threads(options.threads)
        self._device = device_of(model.device)
        on_gpu = self._device.type == "cuda"
        self.concurrency = options.concurrency or (4 if on_gpu else 2)
        engine = Engine(settings_of(model, options, self._device))
        pair = engine.pair()
        _ = engine.networks.hubert, engine.networks.bert
        if isinstance(pair.acoustics.model, Vits) and pair.acoustics.model.with_speaker:
            _ = engine.networks.speaker
        if pair.acoustics.vocoder is not None:
            _ = pair.acoustics.vocoder.net
        self._engine = engine
        v1 = pair.acoustics.symbols == "v1"
        self.capabilities = replace(
            CAPABILITIES,
            sample_rate=pair.acoustics.sample_rate,
            needs_transcript=pair.acoustics.vocoder is not None,
            languages=("zh", "en", "ja") if v1 else CAPABILITIES.languages,
        )
        if options.warm_up:
            self._warm_up()

    def voices(self) -> list[Voice]:
        """None: every voice is cloned."""
        return []

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Codes, style and mel of the recordings, for the default weights, as safetensors. Raises InvalidAudio."""
        if not draft.references:
            raise InvalidRequest("GPT-SoVITS makes a voice from a recording of 3 to 10 s; there is none")
        main, others = spoken(draft.references, draft.language)
        engine = self._loaded()
        return engine.voicing.prepare(main, others, engine.acoustics())

    def close(self) -> None:
        """Drop the weights."""
        self._engine = None

    def speak(self, request: SpeechRequest, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield a chunk for each piece of the text (or for parts of it), silence between, and a mark for each piece."""
        engine = self._loaded()
        options = checked_options(request)
        check(request)
        pair = engine.pair(options.gpt, options.sovits)
        settings = settings_for(request, options, pair)
        if options.super_sampling:
            upsampler_of(engine, pair)
        if stop.is_set():
            return
        prepared = request.prepared if isinstance(request, ResolvedRequest) else None
        main, others = spoken(request.references, None, options.prompt_lang)
        known_language(main.language, pair)
        voice = engine.voicing.voice(main, others, pair.acoustics, prepared)
        generator = request_generator(request.seed, "cpu")
        pieces = self._pieces(engine, pair, voice, request.text or "", settings, generator, stop)
        rate = pair.acoustics.sample_rate
        if options.super_sampling:
            upsampler = upsampler_of(engine, pair)
            pieces, rate = (upsampled(one, upsampler, pair) for one in pieces), upsampler.rate
        yield from chunks(pieces, rate, options.fragment_interval, request.text or "")

    def _pieces(
        self,
        engine: Engine,
        pair: Pair,
        voice: Prompted,
        text: str,
        settings: Settings,
        generator: torch.Generator,
        stop: Stop,
    ) -> Iterator[Piecewise]:
        dtype = engine.networks.dtype

        def noise(shape: object) -> torch.Tensor:
            # Drawn on the host, so that a seed gives the same speech on every device.
            return torch.randn(tuple(shape), generator=generator).to(self._device, dtype)  # type: ignore[arg-type]

        host = GeneratorDraws(generator)

        def draws(rows: int, choices: int) -> torch.Tensor:
            return host(rows, choices).to(self._device)

        tokens = settings.streaming >= 2 and isinstance(pair.acoustics.model, Vits)
        speak = speak_tokens if tokens else speak_batches
        return speak(engine, pair, voice, text, settings, noise, draws, stop.is_set)

    def _warm_up(self) -> None:
        tone = np.sin(np.arange(16_000 * 4) * 0.05).astype(np.float32) * 0.1
        request = SpeechRequest(
            text=WARM_UP,
            references=(Reference(audio=wav(tone, 16_000), text="你好，世界。", language="zh"),),
            seed=0,
            options={"text_lang": "zh"},
        )
        for _ in self.speak(request, _Briefly()):
            break

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the model is not loaded")
        return self._engine


class _Briefly:
    """Nobody stops a warm-up."""

    def is_set(self) -> bool:
        return False


def upsampler_of(engine: Engine, pair: Pair) -> Upsampler:
    """What `super_sampling` needs. Raises InvalidRequest where it is not there, or not of use."""
    found = engine.networks.upsampler if pair.acoustics.version == "v3" else None
    if found is None:
        raise InvalidRequest("super_sampling works with v3 weights and the family's AP-BWE model beside them")
    return found


@torch.inference_mode()
def upsampled(one: Piecewise, upsampler: Upsampler, pair: Pair) -> Piecewise:
    """The same piece of speech at the upsampler's rate."""
    if not len(one.wave):
        return one
    wave = torch.from_numpy(one.wave).to(next(upsampler.parameters()).device)
    return Piecewise(loud(upsampler(wave, pair.acoustics.sample_rate)), one.piece, one.last)


def chunks(pieces: Iterator[Piecewise], rate: int, interval: float, text: str) -> Iterator[AudioChunk | Mark]:
    """Audio with `interval` seconds of silence after each piece, and a mark for each. Raises UnspeakableText."""
    spoken_samples, begin = 0, 0
    silence = np.zeros(round(rate * interval), np.float32)
    for one in pieces:
        if len(one.wave):
            yield AudioChunk.of(np.ascontiguousarray(one.wave, np.float32), rate, one.piece.span)
            spoken_samples += len(one.wave)
        if not one.last:
            continue
        said = text[slice(*one.piece.span)] if one.piece.span else one.piece.text
        if spoken_samples > begin:
            yield Mark("segment", begin / rate, spoken_samples / rate, text=said.strip(), span=one.piece.span)
            if len(silence):
                yield AudioChunk.of(silence, rate, one.piece.span)
                spoken_samples += len(silence)
        begin = spoken_samples


def checked_options(request: SpeechRequest) -> GptSovitsOptions:
    """The request's own options. Raises InvalidRequest."""
    try:
        return msgspec.convert(request.options, GptSovitsOptions)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"options of the gpt_sovits backend: {error}") from error


def check(request: SpeechRequest) -> None:
    """Raises what a request can be refused for before any work."""
    if request.turns:
        raise UnsupportedCapability("GPT-SoVITS speaks one voice at a time", capability="dialogue")
    if request.voice is not None:
        raise UnknownVoice(f"GPT-SoVITS has no voices of its own, so no {request.voice[:100]!r}; give references")
    if not request.references:
        raise InvalidRequest("GPT-SoVITS needs a recording to speak like: give `references` or a stored voice")
    if not (request.text or "").strip():
        raise EmptyText("there is no text to speak")
    if not any(char.isalnum() for char in request.text or ""):
        raise UnspeakableText("the text has no letter and no number, so there is nothing to say: add words")
    if not SPEEDS[0] <= request.speed <= SPEEDS[1]:
        raise InvalidRequest(f"GPT-SoVITS speaks at speeds of {SPEEDS[0]:g} to {SPEEDS[1]:g}, not {request.speed:g}")
    if request.sampling.max_new_tokens is not None:
        raise InvalidRequest("GPT-SoVITS takes no `max_new_tokens`; cut the text in other places instead")
    if request.sampling.top_k is not None and request.sampling.top_k < 1:
        raise InvalidRequest("GPT-SoVITS needs a `top_k` of at least 1")


def settings_for(request: SpeechRequest, options: GptSovitsOptions, pair: Pair) -> Settings:
    """How the request is spoken. Raises InvalidRequest for what its weights cannot do."""
    default, sampling = Choice(), request.sampling
    streaming: int = OWN_STREAMING if request.stream else 0
    if options.streaming_mode is not None:
        streaming = options.streaming_mode
    return Settings(
        language=known_language(options.text_lang or read_as(request.language), pair),
        choice=Choice(
            default.top_k if sampling.top_k is None else sampling.top_k,
            default.top_p if sampling.top_p is None else sampling.top_p,
            default.temperature if sampling.temperature is None else sampling.temperature,
            default.repetition_penalty if sampling.repetition_penalty is None else sampling.repetition_penalty,
        ),
        manner=Manner(request.speed, options.sample_steps, options.parallel_infer),
        cut=options.text_split_method,
        batch_size=options.batch_size,
        batch_threshold=options.batch_threshold,
        split_bucket=options.split_bucket and options.batch_size > 1,
        streaming=streaming,
        chunk=options.min_chunk_length,
        overlap=options.overlap_length,
    )


def read_as(language: str | None) -> str:
    """A BCP 47 tag -> how a text of it is read. Nothing said, or a language that is not the family's: by its looks."""
    return ALONE.get((language or "").lower().split("-")[0], "auto")


def known_language(language: str, pair: Pair) -> str:
    """The same language. Raises InvalidRequest if the weights' version does not read it."""
    known = LANGUAGES[pair.acoustics.symbols]
    if language not in known:
        raise InvalidRequest(f"{pair.acoustics.version} does not read {language!r}; it reads {', '.join(known)}")
    return language


def spoken(
    references: tuple[Reference, ...], language: str | None, prompt_lang: str | None = None
) -> tuple[Spoken, list[bytes]]:
    """The main reference, and the recordings of the others, which only colour the sound."""
    main, *others = references
    own = main.language or language
    read = prompt_lang or (own if own in LANGUAGES["v2"] else read_as(own))
    return Spoken(main.audio, main.text or "", read), [other.audio for other in others]


def settings_of(model: ModelConfig, options: GptSovitsLoadOptions, device: torch.device) -> EngineSettings:
    """What the engine loads."""
    root = Path(model.path)

    def folder(name: str) -> Path | None:
        return root / name if name else None

    return EngineSettings(
        path=root,
        version=options.version,
        gpt=options.gpt,
        sovits=options.sovits,
        weights=options.weights,
        hubert=folder(options.hubert),
        bert=folder(options.bert),
        text_data=folder(options.text_data),
        room=options.loaded_weights,
        device=device,
        dtype=dtype_of(model.dtype, device),
    )


def device_of(name: str) -> torch.device:
    """`auto` is the first GPU, or else the CPU."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """`auto` is float16 on a GPU and float32 elsewhere. Raises InvalidRequest for half precision on a CPU."""
    chosen = {"auto": torch.float16 if device.type == "cuda" else torch.float32}.get(name) or getattr(torch, name)
    if device.type == "cpu" and chosen != torch.float32:
        raise InvalidRequest("on the CPU GPT-SoVITS runs in float32: leave `dtype` at auto")
    return chosen


def wav(samples: np.ndarray, rate: int) -> bytes:
    """Mono (N,) as a float WAV."""
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="FLOAT")
    return out.getvalue()
