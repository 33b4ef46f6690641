"""The worker side of the fish_speech backend."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

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
from hub.contract.errors import InvalidRequest, UnknownVoice, WorkerStartFailed
from hub.contract.options import load_options, request_options
from hub.nn.device import find_placement
from hub.nn.loans import Loans
from hub.nn.memory import DeviceMemory
from hub.text.speakable import is_speakable, nothing_to_speak
from hub_fish_speech.capabilities import CAPABILITIES
from hub_fish_speech.machinery import Machinery, load_machinery
from hub_fish_speech.options import FishLoadOptions, FishOptions
from hub_fish_speech.prompt import Example
from hub_fish_speech.session import Session, session_pool
from hub_fish_speech.speaking import Speaking
from hub_fish_speech.text.dialogue import dialogue_segments
from hub_fish_speech.text.segments import arriving_segments, segments_of
from hub_fish_speech.text.sentences import Segment
from hub_fish_speech.voices import Voices, encode, pack

log = logging.getLogger("hub_fish_speech")

MADE_UP = "This is my voice, and I will keep it for everything that you let me say."
"""The first sentence of a voice that is made up from a seed."""


class FishSpeech:
    """Speaks segment by segment. Everything of a request is in its `Speaking` and `Session`."""

    machinery: Machinery
    sessions: Loans[Session]
    _voices: Voices

    def __init__(self) -> None:
        self.concurrency = 1
        self.capabilities = CAPABILITIES
        self.device = ""

    def load(self, model: ModelConfig) -> None:
        """Load the checkpoint in the folder `model.path`, and speak a word. Raises WorkerStartFailed."""
        options = load_options(model, FishLoadOptions)
        if not model.path:
            raise WorkerStartFailed("a fish_speech model needs a path: the folder of its checkpoint")
        if options.threads:
            torch.set_num_threads(options.threads)
        codec = Path(options.codec or model.path)
        placement = find_placement(model)
        self.machinery = machinery = load_machinery(
            Path(model.path),
            placement,
            codec_path=codec,
            max_seq_len=options.max_seq_len,
            compiled=model.compile,
        )
        self.files = (codec,)
        self.device = str(placement.device)
        self.memory = DeviceMemory(placement.device)
        self.concurrency = options.concurrency or (4 if placement.device.type == "cuda" else 2)
        self.capabilities = replace(
            CAPABILITIES, sample_rate=machinery.codec.sample_rate, dialogue=machinery.variant.dialogue
        )
        self.sessions = session_pool(machinery.language, keep=self.concurrency, warm=options.warm_up)
        self._voices = Voices(machinery.codec)
        log.info("%s on %s", machinery.variant.title, placement)
        if options.warm_up:
            request = ResolvedRequest(text="Hello.", seed=0, sampling=Sampling(max_new_tokens=4))
            for _ in self.speak(request, _Never()):
                pass

    def voices(self) -> list[Voice]:
        """An empty list: every voice is a recording."""
        return []

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """The codes and transcripts of the recordings, as msgpack. Raises InvalidAudio."""
        return pack(self._voices.examples(draft.references))

    def encode(self, audio: bytes) -> Tokens:
        """Mono sound as WAV -> codes (codebooks, frames), as a reference's go into the prompt. Raises InvalidAudio."""
        return Tokens.of(encode(audio, self.machinery.codec).int().contiguous().numpy())

    def decode(self, tokens: Tokens) -> AudioChunk:
        """Codes -> sound. Raises InvalidRequest for codes that this model could not have made.

        S2 may use codes above those of the codec's later codebooks; they count as the last, as in the vendor's code.
        """
        codec, size = self.machinery.codec, self.machinery.language.config.codebook_size
        if tokens.codebooks != codec.codebooks or not tokens.frames:
            raise InvalidRequest(f"this codec reads {codec.codebooks} codebooks of at least one frame", field="tokens")
        codes = np.frombuffer(tokens.ids, "<i4").reshape(tokens.codebooks, -1)
        if codes.min() < 0 or codes.max() >= size:
            raise InvalidRequest(f"ids of this codec lie between 0 and {size - 1}", field="tokens")
        return AudioChunk.of(codec.decode(torch.from_numpy(codes.astype(np.int64))).numpy(), codec.sample_rate)

    def close(self) -> None:
        """Drop the models. Only `load` may be called after it."""
        del self.machinery, self.sessions, self._voices
        self.memory.free()

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Yield audio in chunks that grow, then a report."""
        options = request_options(request, FishOptions)
        segments = self._segments(request, options)
        if not any(is_speakable(segment.text) for segment in segments):
            raise nothing_to_speak(blank=False)
        known = [(segment, number == len(segments)) for number, segment in enumerate(segments, 1)]
        yield from self._speak(request, options, iter(known), stop)

    def speak_live(
        self, request: ResolvedRequest, pieces: Iterator[str], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        """Speak sentences as they arrive, in one voice."""
        options = request_options(request, FishOptions)
        variant = self.machinery.variant
        segments = arriving_segments(pieces, variant, options.chunk_length or variant.chunk_length)
        yield from self._speak(request, options, ((segment, False) for segment in segments), stop)

    def _segments(self, request: ResolvedRequest, options: FishOptions) -> list[Segment]:
        variant = self.machinery.variant
        limit = options.chunk_length or variant.chunk_length
        if request.turns:
            return dialogue_segments(request.turns, limit)
        text = request.text or ""
        if not text.strip():
            raise nothing_to_speak(blank=True)
        return segments_of(text, variant, limit)

    def _speak(
        self, request: ResolvedRequest, options: FishOptions, segments: Iterator[tuple[Segment, bool]], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        if request.voice is not None:
            raise UnknownVoice(f"the fish_speech backend has no voice {request.voice[:100]!r} of its own")
        if options.seeded_voice and request.seed is None:
            raise InvalidRequest("seeded_voice makes up a voice from the seed: give a `seed`", field="seed")
        references = self._voices.of_request(request)
        if options.seeded_voice and not references:
            with self._speaking(request, options, ()) as made_up:
                codes = made_up.codes(MADE_UP, stop)
            references = [Example(MADE_UP, codes)] if codes.shape[1] else []
        with self._speaking(request, options, references) as speaking:
            yield from speaking.speak(segments, stop)
            yield Done(speaking.report)

    def _speaking(self, request: ResolvedRequest, options: FishOptions, references: Sequence[Example]) -> Speaking:
        return Speaking(
            self.machinery,
            self.sessions,
            references,
            sampling=request.sampling,
            seed=request.seed,
            options=options,
        )


class _Never:
    """A caller who does not leave."""

    def is_set(self) -> bool:
        return False
