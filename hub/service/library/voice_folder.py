"""A voice's folder: `NN.wav` (or another audio file) with `NN.txt` or `NN.lab` beside it, and `voice.json`.

A folder made by hand needs no `voice.json`, and its files may have any names. It is not trusted: it is read within the
same limits as an upload.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from hub.audio.decode import DecodeLimits, decode, to_wav_f32
from hub.audio.wav import wav_facts
from hub.contract.errors import HubError, InvalidAudio
from hub.contract.speech import Reference
from hub.contract.voice import MOST_RECORDINGS, Recording, StoredVoice
from hub.service.disk.folder import Damaged

FACTS = "voice.json"
AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".webm", ".aiff", ".aif", ".au", ".caf")
TRANSCRIPTS = (".txt", ".lab")
LONGEST_TRANSCRIPT = 10_000
"""Characters."""

Stamp = tuple[tuple[str, int, int], ...]
"""(name, time of change in ns, size) of each file: while it stays the same, so does the voice."""


class Facts(Struct, kw_only=True, omit_defaults=True):
    """The content of `voice.json`: facts that are not in the recordings themselves. Unknown fields are ignored."""

    name: str = ""
    language: str | None = None
    tags: tuple[str, ...] = ()
    description: str = ""
    consent: str = ""
    created: float = 0.0
    updated: float = 0.0


class Opened(Struct, frozen=True):
    """A voice with its recordings, as synthesizers get them. The voice's digest is that of these references."""

    voice: StoredVoice
    references: tuple[Reference, ...]

    @property
    def bytes(self) -> int:
        """The memory that the recordings take."""
        return sum(len(reference.audio) for reference in self.references)


def stamp_of(folder: Path) -> Stamp:
    """The stamp of `folder`, which differs once a file has been changed, added or removed. Raises OSError."""
    found = []
    for entry in folder.iterdir():
        if not entry.name.startswith("."):
            state = entry.stat()
            found.append((entry.name, state.st_mtime_ns, state.st_size))
    return tuple(sorted(found))


def open_folder(id: str, folder: Path, limits: DecodeLimits) -> Opened:
    """Read and decode the voice in `folder`. Raises Damaged, or OSError if the folder has been removed meanwhile."""
    facts, facts_changed = _read_facts(folder)
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO and not path.name.startswith("."))
    if not files:
        raise Damaged("it has no recording")
    if len(files) > MOST_RECORDINGS:
        raise Damaged(f"it has {len(files)} recordings; the limit is {MOST_RECORDINGS}")
    references = []
    for path in files:
        text = _transcript(path)
        references.append(Reference(audio=_read_recording(path, limits), text=text, language=facts.language))
    changed = max(path.stat().st_mtime for path in files)
    facts.created = facts.created or changed
    facts.updated = facts.updated or facts_changed or changed
    return opened_of(id, facts, references, [path.name for path in files])


def opened_of(id: str, facts: Facts, references: Sequence[Reference], files: Sequence[str] = ()) -> Opened:
    """The voice with these facts and decoded recordings; `files` are their names, by default those of `files_of`."""
    names = files or [_name(number) for number in range(len(references))]
    digest = hashlib.sha256(repr(facts.language).encode())
    recordings, own = [], []
    for name, reference in zip(names, references, strict=True):
        digest.update(hashlib.sha256(reference.audio).digest() + repr(reference.text).encode())
        facts_of_wav = wav_facts(reference.audio)
        seconds = round(facts_of_wav.seconds, 3)
        recordings.append(
            Recording(file=name, text=reference.text, seconds=seconds, sample_rate=facts_of_wav.sample_rate)
        )
        own.append(Reference(audio=reference.audio, text=reference.text, language=facts.language))
    voice = StoredVoice(
        id=id,
        name=facts.name or id,
        language=facts.language,
        tags=facts.tags,
        description=facts.description,
        consent=facts.consent,
        recordings=tuple(recordings),
        digest=digest.hexdigest(),
        created=facts.created,
        updated=facts.updated,
    )
    return Opened(voice, tuple(own))


def files_of(facts: Facts, references: tuple[Reference, ...]) -> Mapping[str, bytes]:
    """The files of a new voice; `references` are decoded already (mono float WAV)."""
    files = {FACTS: facts_file(facts)}
    for number, reference in enumerate(references):
        files[_name(number)] = reference.audio
        if reference.text:
            files[f"{number:02}.txt"] = reference.text.encode() + b"\n"
    return files


def _name(number: int) -> str:
    return f"{number:02}.wav"


def facts_file(facts: Facts) -> bytes:
    """The bytes of `voice.json`."""
    return msgspec.json.format(msgspec.json.encode(facts)) + b"\n"


def facts_of(voice: StoredVoice) -> Facts:
    """The facts of `voice`, as in its `voice.json`."""
    return msgspec.convert(voice, Facts, from_attributes=True)


def clean_transcript(text: str | None) -> str | None:
    """Put a transcript on one line; None if nothing is left. Raises InvalidAudio if it is too long."""
    text = " ".join((text or "").split())
    if len(text) > LONGEST_TRANSCRIPT:
        raise InvalidAudio(f"the transcript has {len(text)} characters; the limit is {LONGEST_TRANSCRIPT}")
    return text or None


def _read_facts(folder: Path) -> tuple[Facts, float]:
    path = folder / FACTS
    try:
        return msgspec.json.decode(_read(path, 1 << 20), type=Facts), path.stat().st_mtime
    except FileNotFoundError:
        return Facts(), 0.0
    except msgspec.DecodeError as error:
        raise Damaged(f"{FACTS} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise Damaged(f"{FACTS} is not UTF-8") from None


def _transcript(audio: Path) -> str | None:
    for suffix in TRANSCRIPTS:
        path = audio.with_suffix(suffix)
        try:
            return clean_transcript(_read(path, 4 * LONGEST_TRANSCRIPT + 3).decode("utf-8-sig"))
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            raise Damaged(f"{path.name} is not UTF-8") from None
        except InvalidAudio as error:
            raise Damaged(f"{path.name}: {error.message}") from None
    return None


def _read_recording(path: Path, limits: DecodeLimits) -> bytes:
    """Read a recording as mono float WAV. Raises Damaged, OSError."""
    try:
        return to_wav_f32(decode(_read(path, limits.bytes), limits=limits))
    except HubError as error:
        raise Damaged(f"{path.name}: {error.message}") from None


def _read(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes. Raises Damaged, or FileNotFoundError if there is none."""
    if path.exists() and not path.is_file():
        raise Damaged(f"{path.name} is not a file")
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Damaged(f"{path.name} has more than {limit} bytes")
    return data
