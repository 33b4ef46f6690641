"""The task kind `fish-speech`: one text, however long, spoken as `POST /v1/tts` speaks it, into one file.

The hub's own kind `speech` cuts long texts itself, each piece a request of its own. This family cuts them in the model,
which keeps the voice from piece to piece even where no voice is named; so a task of it is one request.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import msgspec
import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace

from hub.audio.encode import Encoder, make_encoder
from hub.audio.pcm import wav_header
from hub.contract.errors import Busy, InternalError, Unavailable
from hub.contract.event import AudioChunk
from hub.contract.speech import AudioFormat, SpeechRequest
from hub.plugin.tasks import Job, TaskWork
from hub.service.assemble import new_file
from hub.service.checks import check_capabilities, check_request
from hub.service.folder import storing
from hub.service.resolve import check_voices, with_scene
from hub.service.speech import decode_recording
from hub.service.speech_job import in_thread

if TYPE_CHECKING:
    from hub.service.hub import Hub

KIND = "fish-speech"

ATTEMPTS = 4
"""How often a task is tried whose model crashes or does not come up."""

PATIENCE = 30.0
"""Seconds that a task lets requests go first; then it queues as they do."""


class GenerateTask(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be spoken, and the container of the file."""

    request: SpeechRequest
    container: str = "mp3"
    id: Annotated[str, Meta(pattern=r"^[^/\x00-\x1f\x7f]{1,200}$", description="your own id")] | None = None


class GenerateTasks:
    """A `TaskKind`."""

    name = KIND
    body = GenerateTask

    async def accept(self, hub: Hub, body: GenerateTask) -> Job:
        """Check what can be checked, and draw the seed. Raises HubError."""
        request = body.request
        model = hub.models.get(request.model)
        drawn = secrets.randbits(31) if request.seed is None and model.capabilities.seed else request.seed
        request = replace(request, model=model.name, format=AudioFormat(container=body.container), seed=drawn)
        await asyncio.to_thread(check_request, request, model.spec, hub.settings.limits, hub.encoders)
        for reference in request.references:
            await decode_recording(reference.audio, hub.settings.limits.reference_seconds)
        asked = with_scene(request, None)
        check_capabilities(asked, model.name, model.capabilities)
        if request.voice is not None and model.engine.loaded is None and not model.capabilities.preset_voices:
            await asyncio.to_thread(hub.voices.get, request.voice)
        if (loaded := model.engine.loaded) is not None:
            await check_voices(hub, model, loaded, asked)
        return Job(data=msgspec.msgpack.encode(request), steps=1)

    async def run(self, work: TaskWork) -> dict[str, Any]:
        """Speak, and write the file; a model that is busy or breaks down is waited for.

        Raises HubError; StorageFailed if the disk does not take it.
        """
        request = msgspec.msgpack.decode(work.job, type=SpeechRequest)
        model = work.hub.models.get(request.model)
        failures = 0
        while True:
            await model.lane.lull(PATIENCE)
            try:
                item = await _spoken(work, request)
            except (Busy, Unavailable) as error:
                failures += not isinstance(error, Busy)
                if failures >= ATTEMPTS:
                    raise
                work.waits(error)
                await asyncio.sleep(min(error.retry_after or 0.2 * 2**failures, 30.0))
            else:
                break
        if 0 not in await work.done():
            await work.finish_step(0, b"", audio=item["seconds"])
        return {"seconds": item["seconds"], "items": [item]}


async def _spoken(work: TaskWork, request: SpeechRequest) -> dict[str, Any]:
    """Speak `request` into a file of the task; returns what the result says of it."""
    spec = work.hub.encoders.get(request.format.container)
    if spec is None:
        raise InternalError(f"the container {request.format.container!r} is not available any more")
    target = work.folder / f"audio.{spec.extension}"
    speech = await work.hub.speak(request, request_id=work.id)
    try:
        encoder = make_encoder(request.format, speech.sample_rate, encoders=work.hub.encoders)
        seconds = 0.0
        with storing("the task's audio"), ExitStack() as stack:
            stack.callback(encoder.close)
            file = stack.enter_context(new_file(target))
            async for event in speech:
                if isinstance(event, AudioChunk):
                    seconds += event.seconds
                    await in_thread(partial(_write, file, encoder, event.pcm))
            await in_thread(lambda _: _finish(file, encoder, request.format))
            await in_thread(lambda _: stack.close())
    finally:
        await speech.aclose()
    facts = {"file": target.name, "media_type": spec.media_type, "container": spec.name, "voice": speech.voice}
    return {**facts, "seconds": round(seconds, 3), "bytes": target.stat().st_size}


def _write(file: BinaryIO, encoder: Encoder, pcm: bytes, _stopped: object) -> None:
    file.write(encoder.feed(np.frombuffer(pcm, "<f4")))


def _finish(file: BinaryIO, encoder: Encoder, format: AudioFormat) -> None:
    """Write what the encoder holds back, and the true length into a WAV's header."""
    file.write(encoder.finish())
    if format.container == "wav":
        size, head = file.tell(), len(wav_header(encoder.sample_rate, format.encoding))
        file.seek(0)
        file.write(wav_header(encoder.sample_rate, format.encoding, size - head))
