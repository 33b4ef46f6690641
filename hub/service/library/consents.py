"""Consents: recordings in which a speaker allows the use of their voice, as in OpenAI's API.

Plain files below the data folder, beside the voices: `consents/<id>/consent.json` and `recording.wav`.
"""

from __future__ import annotations

import re
import time
import uuid
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.audio.decode import DecodeLimits, decode, to_wav_f32
from hub.contract.errors import NotFound
from hub.service.disk.folder import exclusive, remove, storing, sweep, write_file, write_folder

FACTS, RECORDING = "consent.json", "recording.wav"

_is_id = re.compile(r"cons_[0-9a-f]{24}").fullmatch


class Consent(Struct, kw_only=True, frozen=True):
    """One consent. `created` is seconds since the epoch."""

    id: str
    name: str
    language: str
    created: float


class Consents:
    """The stored consents. All methods read or write files: call them in a thread."""

    def __init__(self, folder: Path, limits: DecodeLimits) -> None:
        self._folder = folder
        self._limits = limits

    def keep(self, name: str, language: str, recording: bytes) -> Consent:
        """Store a new consent. Raises InvalidAudio, TooLarge, StorageFailed."""
        audio = to_wav_f32(decode(recording, limits=self._limits))
        consent = Consent(id=f"cons_{uuid.uuid4().hex[:24]}", name=name, language=language, created=time.time())
        with storing("the consent"), exclusive(self._folder):
            sweep(self._folder)
            write_folder(self._folder / consent.id, {FACTS: msgspec.json.encode(consent), RECORDING: audio})
        return consent

    def get(self, id: str) -> Consent:
        """The consent of this id. Raises NotFound."""
        if not _is_id(id):
            raise _unknown(id)
        with storing("the consent"):
            try:
                return msgspec.json.decode((self._folder / id / FACTS).read_bytes(), type=Consent)
            except (FileNotFoundError, msgspec.DecodeError):
                raise _unknown(id) from None

    def list(self) -> tuple[Consent, ...]:
        """All consents, the newest first."""
        with storing("the consents"):
            ids = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        found = []
        for id in ids:
            with suppress(NotFound):  # it is damaged, or has been removed meanwhile
                found.append(self.get(id))
        return tuple(sorted(found, key=lambda consent: (-consent.created, consent.id)))

    def rename(self, id: str, name: str) -> Consent:
        """Give a consent another name. Raises NotFound, StorageFailed."""
        with storing("the consent"), exclusive(self._folder):
            consent = replace(self.get(id), name=name)
            write_file(self._folder / id / FACTS, msgspec.json.encode(consent))
        return consent

    def delete(self, id: str) -> None:
        """Remove a consent. Voices that were made with it stay. Raises NotFound, StorageFailed."""
        with storing("the consent"), exclusive(self._folder):
            remove(self._folder / self.get(id).id)


def _unknown(id: str) -> NotFound:
    return NotFound(f"there is no consent recording {id[:100]!r}", field="consent")
