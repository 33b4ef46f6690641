"""Reading voices from other programs' folders, to store them in this hub.

- fish-speech: `references/<id>/*.wav` with `*.lab` (this hub's own layout too: `*.txt` and `voice.json` count)
- Higgs Audio: `voice_prompts/<id>.wav` with `<id>.txt`
- GPT-SoVITS: `*.list` files of `path|speaker|language|text` lines; a speaker is a voice
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hub.contract.errors import InvalidRequest
from hub.contract.voice import MOST_RECORDINGS, RecordingUpload, VoiceUpload
from hub.service.library.voice_folder import AUDIO, FACTS, TRANSCRIPTS, Facts

INNER = ("references", "voice_prompts", "voices")
"""Folders that hold voices and are not voices themselves."""

LANGUAGES = {"jp": "ja", "all_zh": "zh", "all_ja": "ja", "all_ko": "ko", "all_yue": "yue", "auto": ""}
"""GPT-SoVITS's own names of some languages."""


class Foreign(Struct, kw_only=True):
    """A voice to import: its recordings with their transcripts. `left_out` counts the recordings over the limit."""

    id: str
    recordings: list[tuple[Path, str | None]]
    language: str | None = None
    facts: dict[str, Any] = {}
    left_out: int = 0

    def read(self) -> VoiceUpload:
        """Read the voice's files. Raises InvalidRequest if one cannot be read."""
        recordings = []
        for path, text in self.recordings:
            try:
                recordings.append(RecordingUpload(audio=path.read_bytes(), text=text))
            except OSError as error:
                raise InvalidRequest(f"{path.name} cannot be read: {error.strerror}") from None
        fields = {"language": self.language or None, **self.facts}
        try:
            return msgspec.convert({"id": self.id, "recordings": recordings, **fields}, VoiceUpload)
        except msgspec.ValidationError as error:
            raise InvalidRequest(str(error)) from None


def find_voices(source: Path) -> list[Foreign]:
    """The voices at `source`: a folder of one of the layouts, or one level above it, or a `.list` file.

    Raises InvalidRequest if there are none.
    """
    found: list[Foreign] = []
    if source.is_file():
        found = list(_of_list(source))
    elif source.is_dir():
        inner = [folder for name in INNER if (folder := source / name).is_dir()]
        for folder in [source, *inner]:
            found += _of_folder(folder)
    if not found:
        raise InvalidRequest(
            f"there are no voices at {str(source)!r}: give a folder with a folder for each voice, "
            "a folder with a .txt or .lab beside each recording, or a .list file"
        )
    return found


def transcript_beside(audio: Path) -> str | None:
    """The text of the `.txt` or `.lab` file beside `audio`, if there is one."""
    for suffix in TRANSCRIPTS:
        if (path := audio.with_suffix(suffix)).is_file():
            return path.read_text(encoding="utf-8-sig", errors="replace").strip()
    return None


def _recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO and path.is_file())


def _of_folder(folder: Path) -> Iterator[Foreign]:
    """The voices in `folder`: each folder of recordings, each `.list` speaker, each recording with a transcript."""
    for path in sorted(folder.iterdir()):
        if path.name in INNER:
            continue
        if path.is_dir() and not path.name.startswith(".") and (files := _recordings(path)):
            yield _bounded(path.name, [(file, transcript_beside(file)) for file in files], facts=_facts(path))
        elif path.suffix == ".list":
            yield from _of_list(path)
    for path in _recordings(folder):
        if (text := transcript_beside(path)) is not None:
            yield Foreign(id=path.stem, recordings=[(path, text)])


def _facts(folder: Path) -> dict[str, Any]:
    """The facts in a `voice.json` of this hub; none if it is missing or damaged."""
    try:
        facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=Facts)
    except (OSError, msgspec.DecodeError):
        return {}
    return {name: getattr(facts, name) for name in ("name", "language", "tags", "description", "consent")}


def _of_list(file: Path) -> Iterator[Foreign]:
    """The speakers of a GPT-SoVITS list, each with its recordings that exist, or with a missing one if none does."""
    speakers: dict[str, list[tuple[Path, str | None]]] = {}
    languages: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        fields = [field.strip() for field in line.split("|", 3)]
        if len(fields) == 4 and fields[0]:
            name, speaker, language, text = fields
            id = speaker or file.stem
            speakers.setdefault(id, []).append((_beside(file, name), text or None))
            languages.setdefault(id, LANGUAGES.get(language.lower(), language.lower()))
    for speaker, recordings in speakers.items():
        there = [recording for recording in recordings if recording[0].is_file()]
        yield _bounded(speaker, there or recordings[:1], languages[speaker])


def _beside(file: Path, name: str) -> Path:
    """Find a recording of the list: at its path, also from the list's folder, else by name beside the list."""
    path = Path(name.replace("\\", "/"))
    for found in (path, file.parent / path, file.parent / path.name):
        if found.is_file():
            return found
    return file.parent / path.name


def _bounded(
    id: str, recordings: list[tuple[Path, str | None]], language: str | None = None, facts: dict[str, Any] | None = None
) -> Foreign:
    return Foreign(
        id=id,
        recordings=recordings[:MOST_RECORDINGS],
        language=language,
        facts=facts or {},
        left_out=max(0, len(recordings) - MOST_RECORDINGS),
    )
