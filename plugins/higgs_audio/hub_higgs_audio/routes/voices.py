"""The voices that `ref_audio` may name, and the recordings and transcripts that they add to a request."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from hub.contract.errors import InvalidRequest, UnknownVoice
from hub.contract.speech import Reference, Turn
from hub_higgs_audio.capabilities import PROFILE
from hub_higgs_audio.text.normalising import SPEAKER

if TYPE_CHECKING:
    from hub.plugin.host import Host

_NAME = re.compile(r"[^\\/:\0]{1,255}")
_MOST_DIGITS = 4


class VoiceFile(Struct, frozen=True):
    """An entry of /voices."""

    name: str
    file: str
    type: str = "wav"


class Speakers(NamedTuple):
    """The speakers of a request: a voice by its id, or recordings, or turns with their voices."""

    voice: str | None = None
    references: tuple[Reference, ...] = ()
    turns: tuple[Turn, ...] = ()


class NamedVoices:
    """The voice folder of the settings, and the hub's own voices and presets. Read again for each request."""

    def __init__(self, hub: Host, folder: str) -> None:
        self._hub = hub
        self._folder = Path(folder).expanduser() if folder else None

    def entries(self) -> list[VoiceFile]:
        """One entry for each name: the folder's recordings first, then the hub's stored voices."""
        found = {path.stem: VoiceFile(path.stem, f"{path.parent.name}/{path.name}") for path in self._files()}
        for voice in self._hub.voices.list():
            if voice.recordings:
                found.setdefault(voice.id, VoiceFile(voice.id, f"{voice.id}/{voice.recordings[0].file}"))
        return [found[name] for name in sorted(found)]

    def _files(self) -> list[Path]:
        if self._folder is None or not self._folder.is_dir():
            return []
        return [path for path in sorted(self._folder.iterdir()) if path.suffix == ".wav" and path.is_file()]

    async def speakers(self, names: str | None, text: str) -> Speakers:
        """The speakers with these `names`, separated by commas, of `text` and its `[SPEAKERn]` tags.

        Of several voices only those that the text may need are used. Raises UnknownVoice, and InvalidRequest for a turn
        without a voice, or for a described voice beside one of the folder.
        """
        wanted = [name for part in (names or "").split(",") if (name := part.strip())]
        if not wanted:
            return Speakers()
        own = [await asyncio.to_thread(self._recording, name) for name in wanted]
        if len(wanted) == 1:
            return Speakers(references=(own[0],)) if own[0] else Speakers(voice=wanted[0])
        if all(own):
            return Speakers(references=tuple(one for one in own if one)[: speakers_in(text, len(wanted))])
        if any(own) and any(name.startswith(PROFILE) for name in wanted):
            raise InvalidRequest(
                "a described voice (profile:NAME) and a recording of the voice folder cannot speak in one dialogue; "
                "store the recording as a voice of the hub"
            )
        if not any(own):
            return Speakers(turns=turns_of(text, wanted))
        stored = [one or (await self._stored(name)) for name, one in zip(wanted, own, strict=True)]
        return Speakers(references=tuple(stored)[: speakers_in(text, len(wanted))])

    def _recording(self, name: str) -> Reference | None:
        """NAME.wav of the folder with its NAME.txt, if it exists. Raises InvalidRequest for a damaged NAME.txt."""
        if self._folder is None or name.startswith(PROFILE) or not _NAME.fullmatch(name):
            return None
        file = self._folder / f"{name}.wav"
        try:
            if not file.is_file():
                return None
            said = self._folder / f"{name}.txt"
            text = said.read_text(encoding="utf-8-sig").strip() if said.is_file() else None
            return Reference(audio=file.read_bytes(), text=text)
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name}.txt of the voice folder is not UTF-8; its voice cannot be used") from None
        except OSError:  # the name is too long for a file, or the file was just removed
            return None

    async def _stored(self, name: str) -> Reference:
        try:
            return (await self._hub.voices.references(name))[0]
        except IndexError:
            raise UnknownVoice(f"voice {name!r} has no recording") from None


def turns_of(text: str, voices: list[str]) -> tuple[Turn, ...]:
    """The turns that the tags of `text` make; voice i is SPEAKERi's, and SPEAKER0 says the text before the first tag.

    Raises InvalidRequest if there are more speakers than voices.
    """
    parts = SPEAKER.split(text)
    pairs = [("SPEAKER0", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
    turns = []
    for tag, said in pairs:
        if said.strip():
            turns.append(Turn(text=said.strip(), speaker=tag, voice=voices[_number(tag, len(voices))]))
    return tuple(turns)


def speakers_in(text: str, voices: int) -> int:
    """The number of voices, out of so many, that `text` may need: up to the last tag's, or one without tags.

    Raises InvalidRequest if there are more speakers than voices.
    """
    return 1 + max((_number(tag, voices) for tag in SPEAKER.findall(text)), default=0)


def _number(tag: str, voices: int) -> int:
    """The number of the voice that a tag means. Raises InvalidRequest if there is none."""
    digits = tag.removeprefix("SPEAKER")
    if len(digits) > _MOST_DIGITS or int(digits) >= voices:
        raise InvalidRequest(f"the text has a turn of {tag[:20]}, and ref_audio names {voices} voices")
    return int(digits)
