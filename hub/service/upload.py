"""Uploads: recordings as callers send them, or name them, become references that can be kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from hub.audio.decode import DecodeLimits, decode, to_wav_f32
from hub.contract.errors import HubError, InvalidRequest
from hub.contract.speech import Reference
from hub.contract.voice import StoredVoice
from hub.service.catalog import check_no_preset
from hub.service.fetch import fetch, read_path
from hub.service.voice_folder import MOST_RECORDINGS, Facts
from hub.service.voice_ids import check_id

if TYPE_CHECKING:
    from hub.service.hub import Hub


Title = Annotated[str, Meta(max_length=200)]
Note = Annotated[str, Meta(max_length=10_000)]
Tags = Annotated[tuple[Title, ...], Meta(max_length=64)]
Language = Annotated[
    str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", description="BCP 47 tag, such as en or zh-CN")
]


class RecordingUpload(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One recording: exactly one of `audio`, `url` and `path`."""

    audio: (
        Annotated[bytes, Meta(description="an audio file: wav, flac, mp3, ogg, m4a, ... (base64 in JSON)")] | None
    ) = None
    url: Annotated[str, Meta(description="where to fetch it, if `references.urls` is on")] | None = None
    path: Annotated[str, Meta(description="a file of the hub's machine, below one of `references.roots`")] | None = None
    text: Annotated[str, Meta(description="transcript of the recording")] | None = None


class VoiceUpload(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A new voice: what is known about it, and its recordings."""

    id: Annotated[str, Meta(description="letters and digits of any script, '-', '_', '.', spaces")]
    recordings: Annotated[tuple[RecordingUpload, ...], Meta(min_length=1, max_length=MOST_RECORDINGS)]
    name: Title = ""
    language: Language | None = None
    tags: Tags = ()
    description: Note = ""
    consent: Annotated[Note, Meta(description="who allowed the use")] = ""


async def keep_voice(hub: Hub, upload: VoiceUpload) -> StoredVoice:
    """Check, decode and keep a new voice.

    Raises InvalidRequest, InvalidAudio (saying which recording), TooLarge, Forbidden, Conflict, StorageFailed.
    """
    id = check_id(upload.id)
    check_no_preset(hub, id)
    references = []
    for number, recording in enumerate(upload.recordings, 1):
        try:
            data = await _bytes_of(hub, recording)
            audio = await asyncio.to_thread(_decoded, data, hub.voices.limits)
        except HubError as error:
            if len(upload.recordings) > 1:
                error.message = f"recording {number}: {error.message}"
            raise
        references.append(Reference(audio=audio, text=recording.text))
    facts = Facts(
        name=upload.name,
        language=upload.language,
        tags=upload.tags,
        description=upload.description,
        consent=upload.consent,
    )
    return await asyncio.to_thread(hub.voices.create, id, facts, tuple(references))


async def _bytes_of(hub: Hub, recording: RecordingUpload) -> bytes:
    limit, settings = hub.voices.limits.bytes, hub.settings.references
    match recording:
        case RecordingUpload(audio=bytes(data), url=None, path=None):
            return data
        case RecordingUpload(audio=None, url=str(url), path=None):
            return await fetch(url, settings, limit)
        case RecordingUpload(audio=None, url=None, path=str(path)):
            return await asyncio.to_thread(read_path, path, settings, limit)
    raise InvalidRequest("a recording is one of `audio`, `url` and `path`: give exactly one")


def _decoded(data: bytes, limits: DecodeLimits) -> bytes:
    return to_wav_f32(decode(data, limits=limits))
