"""The task kind `fish-speech`: one text of any length, spoken as `POST /v1/tts` speaks it, into one file.

The hub's own kind `speech` cuts long texts itself, and each piece is a request of its own. This family cuts them in the
model, which keeps the voice from piece to piece even if no voice is named; so its task is one request.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from hub.contract.speech import AudioFormat, SpeechRequest
from hub.plugin.host import Host
from hub.plugin.tasks import Job, TaskWork

KIND = "fish-speech"


class GenerateTask(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a task: a request, and the container of the file."""

    request: SpeechRequest
    container: str = "mp3"
    id: Annotated[str, Meta(pattern=r"^[^/\x00-\x1f\x7f]{1,200}$", description="your own id")] | None = None


class GenerateTasks:
    """A `TaskKind`."""

    name = KIND
    body = GenerateTask

    async def accept(self, hub: Host, body: GenerateTask) -> Job:
        """Check the request as far as that is possible now, and draw the seed. Raises HubError."""
        request = body.request
        model = hub.models.get(request.model)
        drawn = secrets.randbits(31) if request.seed is None and model.capabilities.seed else request.seed
        request = replace(request, model=model.name, format=AudioFormat(container=body.container), seed=drawn)
        await hub.vet(request)
        if request.voice is not None and model.loaded is None and not model.capabilities.preset_voices:
            await asyncio.to_thread(hub.voices.get, request.voice)
        return Job(data=msgspec.msgpack.encode(request), steps=1)

    async def run(self, work: TaskWork) -> dict[str, Any]:
        """Speak, and write the file; waits for a model that is busy or breaks down.

        Raises HubError; StorageFailed if the file cannot be written.
        """
        request = msgspec.msgpack.decode(work.job, type=SpeechRequest)
        item = await work.persist(work.hub.models.get(request.model), lambda: _spoken(work, request))
        if 0 not in await work.done():
            await work.finish_step(0, b"", audio=item["seconds"])
        return {"seconds": item["seconds"], "items": [item]}


async def _spoken(work: TaskWork, request: SpeechRequest) -> dict[str, Any]:
    """Speak `request` into a file of the task; returns the item of the result."""
    speech = await work.hub.speak(request, request_id=work.id)
    file = await work.write_audio(speech, request.format, "audio")
    return {**msgspec.to_builtins(file), "voice": speech.voice}
