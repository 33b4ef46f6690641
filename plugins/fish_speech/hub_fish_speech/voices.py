"""The voices of a request: recordings and prepared states -> the examples of a prompt."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import Tensor

from hub.contract import CastVoice, Reference, ResolvedRequest
from hub.contract.errors import InvalidAudio
from hub.nn.recording import read_recording
from hub_fish_speech.model.codec.codec import Codec
from hub_fish_speech.prompt import Example
from hub_fish_speech.text.dialogue import SPEAKER, speaker_numbers, speaker_tag

REMEMBERED = 64
"""Recordings whose codes are cached, so that a caller who sends the same one with each request waits only once."""

_LAYOUT = 1
"""Version of the prepared state."""


class Voices:
    """The examples of voices. Keeps the codes of the latest recordings; several threads may use it at once."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def examples(self, references: Sequence[Reference], prepared: bytes | None = None) -> list[Example]:
        """Transcripts and codes, of the prepared state if there is one: the references may then lack their audio.

        A missing transcript is an empty one. Raises InvalidAudio.
        """
        if prepared is not None:
            return unpack(prepared)
        return [Example(reference.text or "", self._codes(reference.audio)) for reference in references]

    def of_request(self, request: ResolvedRequest) -> list[Example]:
        """The examples of all who speak. In a dialogue each transcript has its speaker's tag. Raises InvalidAudio."""
        if request.turns:
            numbers = speaker_numbers(request.turns)
            return self._tagged({str(number): request.cast.get(name or "") for name, number in numbers.items()})
        spoken = dict.fromkeys(found[1] for found in SPEAKER.finditer(request.text or ""))
        named = {number: request.cast.get(number) for number in spoken}
        if any(named.values()):  # the text names speakers of the scene's cast by their tags
            return self._tagged(named)
        return self.examples(request.references, request.prepared)

    def _tagged(self, voices: dict[str, CastVoice | None]) -> list[Example]:
        """The examples of each speaker's voice, by the speaker's number."""
        found = []
        for number, voice in voices.items():
            if voice is not None:
                for text, codes in self.examples(voice.references, voice.prepared):
                    found.append(Example(speaker_tag(number) + SPEAKER.sub("", text), codes))
        return found

    def _codes(self, audio: bytes) -> Tensor:
        key = hashlib.sha256(audio).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        codes = encode(audio, self._codec)
        with self._lock:
            self._known[key] = codes
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return codes


def encode(audio: bytes, codec: Codec) -> Tensor:
    """The codes (C, T) of a sound file. Raises InvalidAudio."""
    return codec.encode(read_wave(audio, codec.sample_rate))


def read_wave(audio: bytes, sample_rate: int) -> Tensor:
    """A sound file as mono samples (N,) at `sample_rate`. Raises InvalidAudio."""
    return read_recording(audio).at(sample_rate, kernel_dtype=torch.float32)  # the kernel of the vendor's code


class _Recording(Struct, array_like=True):
    text: str
    rows: int
    codes: bytes


class _Prepared(Struct, array_like=True):
    layout: int
    recordings: list[_Recording]


def pack(examples: Sequence[Example]) -> bytes:
    """The prepared state of a voice: msgpack of transcripts and 16-bit codes."""
    recordings = [
        _Recording(example.text, example.codes.shape[0], example.codes.numpy().astype("<u2").tobytes())
        for example in examples
    ]
    return msgspec.msgpack.encode(_Prepared(_LAYOUT, recordings))


def unpack(state: bytes) -> list[Example]:
    """The examples in a prepared state. Raises InvalidAudio for bytes that `pack` did not write."""
    try:
        prepared = msgspec.msgpack.decode(state, type=_Prepared)
        if prepared.layout != _LAYOUT:
            raise ValueError("another layout")
        return [
            Example(one.text, torch.from_numpy(np.frombuffer(one.codes, "<u2").astype(np.int64).reshape(one.rows, -1)))
            for one in prepared.recordings
        ]
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidAudio("the voice's prepared state cannot be read; store the voice again") from error
