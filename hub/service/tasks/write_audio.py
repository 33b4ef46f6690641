"""write_audio(): write a speech to a file while it is spoken."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hub.audio.encode import Encoder, EncoderSpec, make_encoder
from hub.contract.errors import InternalError
from hub.contract.event import AudioChunk
from hub.contract.speaking import Speaking
from hub.contract.speech import AudioFormat
from hub.plugin.tasks import AudioFile
from hub.service.disk.folder import storing
from hub.service.tasks.assemble import finish_file, new_file
from hub.service.tasks.threads import in_thread


async def write_audio(
    speech: Speaking, format: AudioFormat, folder: Path, name: str, encoders: Mapping[str, EncoderSpec]
) -> AudioFile:
    """Write all of `speech` to `folder`/`name`.EXTENSION, whole or not at all, and close the speech.

    Raises StorageFailed, InternalError for a container whose plugin is gone, or the errors of the speech.
    """
    try:
        spec = encoders.get(format.container)
        if spec is None:
            raise InternalError(f"the container {format.container!r} is not available any more")
        target = folder / f"{name}.{spec.extension}"
        encoder = make_encoder(format, speech.sample_rate, encoders=encoders)
        seconds = 0.0
        with storing("the task's audio"), ExitStack() as stack:
            stack.callback(encoder.close)
            file = stack.enter_context(new_file(target))
            async for event in speech:
                if isinstance(event, AudioChunk):
                    seconds += event.seconds
                    await in_thread(partial(_feed, file, encoder, event.pcm))
            size = await in_thread(lambda _: finish_file(file, encoder, format))
            await in_thread(lambda _: stack.close())
    finally:
        await speech.aclose()
    return AudioFile(
        file=target.name,
        media_type=spec.media_type,
        container=spec.name,
        sample_rate=encoder.sample_rate,
        seconds=round(seconds, 3),
        bytes=size,
    )


def _feed(file: BinaryIO, encoder: Encoder, pcm: bytes, _stopped: object) -> None:
    file.write(encoder.feed(np.frombuffer(pcm, "<f4")))
