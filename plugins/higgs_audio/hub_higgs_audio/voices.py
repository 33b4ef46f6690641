"""Voices: presets described in words, and recordings as codes, with a prepared state that is plain data."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
import yaml
from msgspec import Struct
from torch import Tensor

from hub.contract import CastVoice, Reference, Voice
from hub.contract.errors import InvalidAudio, InvalidRequest, UnknownVoice, WorkerStartFailed
from hub.nn.recording import read_recording
from hub_higgs_audio.capabilities import PROFILE, SMART
from hub_higgs_audio.model.codec import TOO_SHORT, Codec
from hub_higgs_audio.prompt import Speaker
from hub_higgs_audio.text.cleaning import without_control
from hub_higgs_audio.text.tagging import TaggedText

OUR_PROFILES = {
    "male_en": "Male, American accent, moderate pitch and pace, friendly tone, very clear audio.",
    "female_en_story": "Female, a calm storyteller with a measured pace and careful articulation, very clear audio.",
    "male_en_british": "Male, British accent, a conversational and curious tone at a moderate pace, very clear audio.",
    "female_en_british": "Female, British accent, moderate pitch, an expressive and friendly tone, very clear audio.",
}
"""The profiles of a model whose folder has no `profile.yaml`: boson's names, described in our words."""

REMEMBERED = 32
"""Recordings whose codes are kept in memory."""


class _Encoded(Struct, frozen=True):
    """One recording: codes (K, T) as little-endian 16-bit integers, and its transcript."""

    frames: int
    codes: bytes
    text: str | None


class _Prepared(Struct, frozen=True):
    """The state that `make_voice` makes, with everything that is needed to speak. `codec` identifies the codec."""

    codec: str
    recordings: list[_Encoded]


class Voices:
    """Turns the voices of a request into speakers for the prompt."""

    def __init__(self, codec: Codec, profiles: Mapping[str, str]) -> None:
        self._codec = codec
        self._profiles = dict(profiles)
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()
        self._signature = f"higgs-audio-v2 {codec.codebooks}x{codec.codebook_size} {_fingerprint(codec)}"

    def presets(self) -> list[Voice]:
        """`smart`, then a voice for each profile."""
        described = [
            Voice(id=PROFILE + name, name=name.replace("_", " "), description=text, tags=("described",))
            for name, text in self._profiles.items()
        ]
        smart = Voice(
            id=SMART, name="Smart voice", description="a voice of the model's choice, by text and scene", default=True
        )
        return [smart, *described]

    def speakers(self, text: TaggedText) -> list[Speaker]:
        """The speakers of a text, SPEAKER0 first. Raises UnknownVoice, InvalidAudio, InvalidRequest."""
        found = [self.speaker(voice) for voice in text.voices]
        if text.one_each:
            return [Speaker(recordings=(recording,)) for speaker in found for recording in speaker.recordings]
        return found

    def speaker(self, voice: CastVoice) -> Speaker:
        """The speaker with this voice. Raises UnknownVoice, InvalidAudio, InvalidRequest."""
        if voice.prepared is not None:
            return Speaker(recordings=self._prepared_recordings(voice.prepared, voice.references))
        if voice.references:
            return Speaker(recordings=self._encoded_recordings(voice.references))
        if voice.voice in (None, SMART):
            return Speaker()
        name = str(voice.voice).removeprefix(PROFILE)
        if not str(voice.voice).startswith(PROFILE) or name not in self._profiles:
            names = ", ".join(preset.id for preset in self.presets())
            raise UnknownVoice(f"there is no voice {str(voice.voice)[:100]!r}; there are {names}")
        return Speaker(description=without_control(self._profiles[name]))

    def prepare(self, references: Sequence[Reference]) -> bytes:
        """The state of a voice: its recordings' codes and transcripts, as msgpack. Raises InvalidAudio."""
        encoded = []
        for reference in references:
            codes = self._encode(reference)
            data = codes.to(torch.int16).numpy().astype("<i2").tobytes()
            encoded.append(_Encoded(codes.shape[1], data, reference.text))
        return msgspec.msgpack.encode(_Prepared(self._signature, encoded))

    def _encoded_recordings(self, references: Sequence[Reference]) -> tuple[tuple[Tensor, str | None], ...]:
        return tuple((self._encode(one), _transcript(one.text)) for one in references)

    def _prepared_recordings(
        self, prepared: bytes, references: Sequence[Reference]
    ) -> tuple[tuple[Tensor, str | None], ...]:
        try:
            state = msgspec.msgpack.decode(prepared, type=_Prepared)
        except msgspec.MsgspecError:
            state = None
        if state is not None and state.codec == self._signature:
            return tuple((self._unpacked(one), _transcript(one.text)) for one in state.recordings)
        if references and all(one.audio for one in references):  # another codec made the state: encode again
            return self._encoded_recordings(references)
        raise InvalidRequest(
            "the prepared state of this voice was made with another codec: delete `cache/prepared` in the hub's data "
            "folder, and the hub makes it again"
        )

    def _unpacked(self, one: _Encoded) -> Tensor:
        books = self._codec.codebooks
        if one.frames >= 1 and len(one.codes) == 2 * one.frames * books:
            codes = torch.frombuffer(bytearray(one.codes), dtype=torch.int16).long().view(books, one.frames)
            if int(codes.min()) >= 0 and int(codes.max()) < self._codec.codebook_size:
                return codes
        raise InvalidRequest("the prepared state of this voice is damaged; prepare the voice again")

    def _encode(self, reference: Reference) -> Tensor:
        """Codes (K, T) of a recording. Encoding is pure, so the last results are kept, by the recording's hash."""
        key = hashlib.sha256(reference.audio).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        codes = self._codec.encode(read_wave(reference.audio, self._codec.sample_rate))
        if codes.shape[1] == 0:
            raise InvalidAudio(TOO_SHORT)
        with self._lock:
            self._known[key] = codes
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return codes


def read_wave(audio: bytes, sample_rate: int) -> Tensor:
    """A sound file as mono float32 (N,) at `sample_rate`. Raises InvalidAudio."""
    return torch.from_numpy(read_recording(audio).at_by_soxr(sample_rate))


def _transcript(text: str | None) -> str | None:
    """A transcript for the prompt; None for an empty one."""
    return without_control(text).strip() or None if text is not None else None


def _fingerprint(codec: Codec) -> str:
    """A few bytes of a hash of the first codebook: codecs of one shape differ in it."""
    rows: Any = codec.net.quantizer.quantizers[0]
    return hashlib.sha256(rows.codebook.embed[:16].cpu().numpy().tobytes()).hexdigest()[:12]


def load_profiles(file: str, folder: Path) -> dict[str, str]:
    """Name -> description, from `file` if one is given, else from a `profile.yaml` in `folder`, else our own.

    Raises WorkerStartFailed if `file` is missing, or if the file has not the form `profiles: {NAME: DESCRIPTION}`.
    """
    candidates = [Path(file).expanduser()] if file else [folder / "profile.yaml", folder / "voice_prompts/profile.yaml"]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        if file:
            raise WorkerStartFailed("the load option `profiles` names a file that does not exist")
        return dict(OUR_PROFILES)
    try:
        loaded = yaml.safe_load(found.read_text("utf-8"))
        return msgspec.convert(loaded["profiles"], dict[str, str])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise WorkerStartFailed(
            f"{found.name} is not a list of profiles ({type(error).__name__}); write `profiles:` and below it, "
            "indented, one line `NAME: DESCRIPTION` for each"
        ) from error
