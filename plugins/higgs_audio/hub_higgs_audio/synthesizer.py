"""The synthesizer: the worker's side of the backend."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import torch
from msgspec.structs import replace

from hub.contract import (
    AudioChunk,
    Capabilities,
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
from hub.contract.errors import EmptyAudio, InvalidRequest
from hub.contract.options import load_options, request_options
from hub.nn.memory import DeviceMemory
from hub_higgs_audio.capabilities import CAPABILITIES
from hub_higgs_audio.machinery import Machinery
from hub_higgs_audio.options import HiggsLoadOptions, HiggsOptions
from hub_higgs_audio.packets import decode_whole
from hub_higgs_audio.speaking import Speaking
from hub_higgs_audio.voices import Voices, load_profiles, read_wave

WARM_UP_TOKENS = 32


class HiggsAudio:
    """Speaks Higgs Audio v2. It holds no state of a request, so calls may run side by side."""

    def load(self, model: ModelConfig) -> None:
        """Load both parts of the checkpoint and speak a word. Raises WorkerStartFailed."""
        self._options = load_options(model, HiggsLoadOptions)
        self._machinery = Machinery.load(model, self._options)
        codec = self._machinery.codec
        self._voices = Voices(codec, load_profiles(self._options.profiles, Path(model.path).expanduser()))
        self.concurrency = self._options.streams
        self.files = (self._machinery.codec_folder,)
        self.device = str(self._machinery.language.device)
        self.memory = DeviceMemory(self._machinery.language.device)
        self.capabilities: Capabilities = replace(CAPABILITIES, sample_rate=codec.sample_rate)
        self._warm_up()

    def voices(self) -> list[Voice]:
        """The preset `smart`, and the described voices."""
        return self._voices.presets()

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Yield audio as it is generated, then a Done with the report."""
        options = request_options(request, HiggsOptions)
        speaking = Speaking(self._machinery, self._voices, self._options, request, options, stop)
        yield from speaking.events()

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Encode the recordings, so that no request has to. Raises InvalidAudio."""
        return self._voices.prepare(draft.references)

    def encode(self, audio: bytes) -> Tokens:
        """The codec's codes of a recording, (codebooks, frames) at 25 frames a second. Raises InvalidAudio."""
        codec = self._machinery.codec
        codes = codec.encode(read_wave(audio, codec.sample_rate))
        return Tokens.of(codes.int().contiguous().numpy())

    def decode(self, tokens: Tokens) -> AudioChunk:
        """The audio of codes. Raises InvalidRequest for a wrong number of codebooks, or an id out of range."""
        codec = self._machinery.codec
        if tokens.codebooks != codec.codebooks:
            raise InvalidRequest(f"this codec has {codec.codebooks} codebooks, not {tokens.codebooks}")
        codes = torch.tensor(tokens.rows, dtype=torch.long)
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codec.codebook_size:
            raise InvalidRequest(f"the ids of this codec go from 0 to {codec.codebook_size - 1}")
        wave = decode_whole(codec, codes).clamp(-1, 1)
        return AudioChunk.of(wave.numpy(), codec.sample_rate)

    def close(self) -> None:
        """Free the weights."""
        del self._machinery, self._voices
        self.memory.free()

    def _warm_up(self) -> None:
        """Take a few steps, in which libraries choose their kernels."""
        request = ResolvedRequest(text="Hello.", seed=0, sampling=Sampling(max_new_tokens=WARM_UP_TOKENS))
        try:
            for _ in self.speak(request, threading.Event()):
                pass
        except EmptyAudio:  # such a short answer may be empty
            pass
