"""keep_voice(): store the recordings that a caller sends or names as a voice."""

from __future__ import annotations

import asyncio

from hub.audio.decode import DecodeLimits, decode, to_wav_f32
from hub.contract.errors import HubError, InvalidRequest
from hub.contract.speech import Reference
from hub.contract.voice import RecordingUpload, StoredVoice, VoiceUpload
from hub.service.disk.ids import check_id
from hub.service.library.catalog import check_no_preset
from hub.service.library.fetch import fetch, read_path
from hub.service.library.voice_folder import Facts
from hub.service.library.voices import VoiceLibrary
from hub.service.models.models import Models
from hub.settings import ReferenceSettings


async def keep_voice(
    library: VoiceLibrary, models: Models, allowed: ReferenceSettings, upload: VoiceUpload
) -> StoredVoice:
    """Check, decode and store a new voice. `allowed` says which recordings a caller may name instead of sending.

    Raises InvalidRequest, InvalidAudio (saying which recording), TooLarge, Forbidden, Conflict, StorageFailed.
    """
    id = check_id(upload.id)
    check_no_preset(models, id)
    references = []
    for number, recording in enumerate(upload.recordings, 1):
        try:
            data = await _bytes_of(recording, allowed, library.limits.bytes)
            audio = await asyncio.to_thread(_decoded, data, library.limits)
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
    return await asyncio.to_thread(library.create, id, facts, tuple(references))


async def _bytes_of(recording: RecordingUpload, allowed: ReferenceSettings, limit: int) -> bytes:
    match recording:
        case RecordingUpload(audio=bytes(data), url=None, path=None):
            return data
        case RecordingUpload(audio=None, url=str(url), path=None):
            return await fetch(url, allowed, limit)
        case RecordingUpload(audio=None, url=None, path=str(path)):
            return await asyncio.to_thread(read_path, path, allowed, limit)
    raise InvalidRequest("a recording is one of `audio`, `url` and `path`: give exactly one")


def _decoded(data: bytes, limits: DecodeLimits) -> bytes:
    return to_wav_f32(decode(data, limits=limits))
