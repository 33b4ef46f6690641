"""The worker side of the fish_speech backend."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch
from msgspec.structs import replace

from hub.contract import (
    AudioChunk,
    Done,
    Mark,
    ModelConfig,
    ResolvedRequest,
    Sampling,
    Stop,
    Tokens,
    Voice,
    VoiceDraft,
)
from hub.contract.errors import EmptyText, InvalidRequest, UnknownVoice, UnspeakableText, WorkerStartFailed
from hub.nn.sampling import request_generator
from hub.text.arriving import ArrivingSentences
from hub.text.sentences import Sentence
from hub.text.speakable import is_speakable
from hub_fish_speech import CAPABILITIES
from hub_fish_speech.cast import Voices, dialogue
from hub_fish_speech.options import FishLoadOptions, FishOptions
from hub_fish_speech.prompt import Example
from hub_fish_speech.references import encode, pack
from hub_fish_speech.sampling import Draws
from hub_fish_speech.session import RequestNoise, Session
from hub_fish_speech.speaking import Limits, Speaking
from hub_fish_speech.text import SPEAKER, Segment, segments_of
from hub_fish_speech.voiced import Voiced, load_voiced

log = logging.getLogger("hub_fish_speech")

Options = TypeVar("Options", FishOptions, FishLoadOptions)

MADE_UP = "This is my voice, and I will keep it for everything that you let me say."
"""What a voice that is made up from a seed says first."""


class FishSpeech:
    """Speaks segment by segment. Everything of a request is in its `Speaking` and `Session`."""

    def __init__(self) -> None:
        self.concurrency = 1
        self.capabilities = CAPABILITIES
        self._voiced: Voiced | None = None
        self._sessions: list[Session] = []
        self._lock = threading.Lock()

    def load(self, model: ModelConfig) -> None:
        """Load the checkpoint in the folder `model.path`, and speak a word. Raises WorkerStartFailed."""
        options = _convert(model.options, FishLoadOptions, "load options")
        if not model.path:
            raise WorkerStartFailed("a fish_speech model needs a path: the folder of its checkpoint")
        if options.threads:
            torch.set_num_threads(options.threads)
        self._voiced = voiced = load_voiced(
            Path(model.path),
            device=model.device,
            dtype=model.dtype,
            codec=Path(options.codec) if options.codec else None,
            max_seq_len=options.max_seq_len,
            compiled=model.compile,
        )
        self._voices = Voices(voiced.codec)
        variant, network = voiced.language.variant, voiced.language.model
        self.concurrency = options.concurrency or (4 if network.device.type == "cuda" else 2)
        self.capabilities = replace(CAPABILITIES, sample_rate=voiced.codec.sample_rate, dialogue=variant.dialogue)
        log.info("%s on %s in %s", variant.title, network.device, str(network.dtype).removeprefix("torch."))
        if options.warm_up:
            request = ResolvedRequest(text="Hello.", seed=0, sampling=Sampling(max_new_tokens=4))
            for _ in self.speak(request, _Never()):
                pass

    def voices(self) -> list[Voice]:
        """None: every voice is a recording."""
        return []

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """The recordings' codes and transcripts, as msgpack. Raises InvalidAudio."""
        return pack(self._voices.examples(draft.references))

    def encode(self, audio: bytes) -> Tokens:
        """Mono sound as WAV -> codes (codebooks, frames), as a reference's go into the prompt. Raises InvalidAudio."""
        return Tokens.of(encode(audio, self._loaded.codec).int().contiguous().numpy())

    def decode(self, tokens: Tokens) -> AudioChunk:
        """Codes -> sound. Raises InvalidRequest for codes that this model could not have made.

        S2 may say codes above those of the codec's later codebooks; they count as the last, as in the vendor's code.
        """
        codec, size = self._loaded.codec, self._loaded.language.config.codebook_size
        if tokens.codebooks != codec.codebooks or not tokens.frames:
            raise InvalidRequest(f"this codec reads {codec.codebooks} codebooks of at least one frame", field="tokens")
        codes = np.frombuffer(tokens.ids, "<i4").reshape(tokens.codebooks, -1)
        if codes.min() < 0 or codes.max() >= size:
            raise InvalidRequest(f"ids of this codec lie between 0 and {size - 1}", field="tokens")
        return AudioChunk.of(codec.decode(torch.from_numpy(codes.astype(np.int64))).numpy(), codec.sample_rate)

    def close(self) -> None:
        """Drop the models."""
        self._voiced = None
        self._sessions.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Audio in chunks that grow, then a report."""
        options = _convert(request.options, FishOptions, "options")
        variant = self._loaded.language.variant
        limit = options.chunk_length or variant.chunk_length
        if request.turns:
            segments = dialogue(request.turns, limit)
        else:
            text = request.text or ""
            if not text.strip():
                raise EmptyText("there is no text to speak")
            segments = segments_of(text, variant, limit)
        if not any(is_speakable(segment.text) for segment in segments):
            raise UnspeakableText("the text has no letter and no number, so there is nothing to say: add words")
        known = [(segment, number == len(segments)) for number, segment in enumerate(segments, 1)]
        yield from self._speak(request, options, iter(known), stop)

    def speak_live(
        self, request: ResolvedRequest, pieces: Iterator[str], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        """Speak sentences as they arrive, in one voice."""
        options = _convert(request.options, FishOptions, "options")
        variant = self._loaded.language.variant
        limit = options.chunk_length or variant.chunk_length

        def arriving() -> Iterator[tuple[Segment, bool]]:
            tag = ""  # of who speaks, in S2: a sentence goes on with the one before it
            for sentence in _sentences(pieces):
                tags = list(SPEAKER.finditer(sentence.text)) if variant.dialogue else []
                before = "" if tags and tags[0].start() == 0 else tag
                tag = tags[-1][0] if tags else tag
                for part, span in segments_of(before + sentence.text, variant, limit):
                    shift = sentence.start - len(before)
                    place = (max(sentence.start, span[0] + shift), span[1] + shift) if span else None
                    yield Segment(part, place), False

        yield from self._speak(request, options, arriving(), stop)

    @property
    def _loaded(self) -> Voiced:
        assert self._voiced is not None, "load() was not called"
        return self._voiced

    def _speak(
        self, request: ResolvedRequest, options: FishOptions, segments: Iterator[tuple[Segment, bool]], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        if request.voice is not None:
            raise UnknownVoice(f"the fish_speech backend has no voice {request.voice[:100]!r} of its own")
        if options.seeded_voice and request.seed is None:
            raise InvalidRequest("seeded_voice makes up a voice from the seed: give a `seed`", field="seed")
        voiced = self._loaded
        references = self._voices.of_request(request)
        draws = _draws(request, voiced)
        limits = Limits(request.sampling.max_new_tokens or 0, options.length_cap)
        device = voiced.language.model.device
        with self._session() as session:

            def speaking(examples: list[Example], seed: int | None) -> Speaking:
                noise = RequestNoise(request_generator(seed, device))
                return Speaking(voiced, session, examples, draws=draws, noise=noise, limits=limits, options=options)

            if options.seeded_voice and not references:
                codes = speaking([], request.seed).codes(MADE_UP, stop)
                references = [Example(MADE_UP, codes)] if codes.shape[1] else []
            utterance = speaking(references, request.seed)
            yield from utterance.speak(segments, stop)
            yield Done(utterance.report | _ignored(request, voiced))

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A session for one request. On a GPU it is used again: its graphs take longer to make than a word to say."""
        with self._lock:
            session = self._sessions.pop() if self._sessions else Session(self._loaded.language)
        try:
            yield session
        finally:
            session.forget()
            if self._voiced is not None and self._voiced.language.model.device.type == "cuda":
                with self._lock:
                    self._sessions.append(session)


def _sentences(pieces: Iterator[str]) -> Iterator[Sentence]:
    """The sentences of a text that arrives in pieces, each as soon as it is complete."""
    arriving = ArrivingSentences()
    for piece in pieces:
        yield from arriving.feed(piece)
    yield from arriving.flush()


class _Never:
    """A caller who does not leave."""

    def is_set(self) -> bool:
        return False


def _draws(request: ResolvedRequest, voiced: Voiced) -> Draws:
    """How to draw: what the request says, else what the variant's own server does."""
    variant, asked = voiced.language.variant, request.sampling

    def given(value: Any, otherwise: Any) -> Any:
        return otherwise if value is None else value

    return Draws(
        temperature=given(asked.temperature, variant.temperature),
        top_p=given(asked.top_p, variant.top_p),
        repetition_penalty=given(asked.repetition_penalty, variant.repetition_penalty),
        top_k=given(asked.top_k, variant.top_k) or None,
    )


def _ignored(request: ResolvedRequest, voiced: Voiced) -> dict[str, Any]:
    """What the request says that this variant does not know, as the vendor's code passes over it."""
    penalty = request.sampling.repetition_penalty
    unknown = voiced.language.variant.repetition_aware and penalty not in (None, 1.0)
    return {"ignored": ["repetition_penalty"]} if unknown else {}


def _convert(given: dict[str, Any], kind: type[Options], what: str) -> Options:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{what} of the fish_speech backend: {error}") from error
