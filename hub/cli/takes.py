"""A model speaks the sentences of `ttshub verify`, on this machine or at a running hub."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import numpy as np
from msgspec import Struct

from hub.audio.decode import decode
from hub.cli.failure import Failed
from hub.cli.voice_library import LocalVoices, RemoteVoices
from hub.contract.backend import Capabilities
from hub.contract.errors import HubError
from hub.contract.speech import AudioFormat, Reference, SpeechRequest
from hub.service.models.memory import used
from hub.verify.judge import Recital
from hub.verify.sentences import SENTENCES, Sentence, languages_of
from hub.verify.takes import Spoken

if TYPE_CHECKING:
    from hub.cli.local import LocalHub
    from hub.cli.remote import RemoteHub
    from hub.service.models.model import Model

FORMAT = AudioFormat(container="pcm", encoding="f32le")
WIDTH = 4
"""Bytes of a sample in FORMAT."""

SEED = 0
"""The seed of each sentence, if the model takes one: the same model then gives the same report."""

GLANCE = 0.5
"""Seconds between two looks at the worker's memory."""


class Wanted(Struct, kw_only=True, frozen=True):
    """The sentences that the model must speak: `most` in each of `languages`, by default in all that it knows.

    `english_only` says that the listener understands English alone.
    """

    model: str
    voice: str | None = None
    references: tuple[Reference, ...] = ()
    languages: tuple[str, ...] = ()
    most: int
    english_only: bool = False


async def find(source: LocalHub | RemoteHub, model: str) -> None:
    """Make sure that the hub has the model, before anything is loaded. Raises UnknownModel."""
    from hub.cli.local import LocalHub

    if isinstance(source, LocalHub):
        source.hub.models.get(model)
    else:
        await source.get(f"/v1/models/{quote(model, safe='')}")


async def recite(source: LocalHub | RemoteHub, wanted: Wanted, tell: Callable[[int, int], None]) -> Recital:
    """Have a hub speak the sentences, one after the other; `tell` gets how many of how many are spoken.

    Raises HubError if the model cannot be loaded or refuses, and Failed if it speaks no language with sentences.
    """
    from hub.cli.local import LocalHub

    began = time.perf_counter()
    if isinstance(source, LocalHub):
        model = source.hub.models.get(wanted.model)
        can = (await model.start()).capabilities
    else:
        path = f"/v1/models/{quote(wanted.model, safe='')}/load"
        can = msgspec.convert((await source.call("POST", path))["capabilities"], Capabilities)
    load = time.perf_counter() - began
    requests = requests_for(wanted, can)
    recordings = await _recordings(source, wanted)
    spoken: list[Spoken] = []
    voice = ""
    async with _watching(model if isinstance(source, LocalHub) else None) as peak:
        for sentence, request in requests:
            tell(len(spoken), len(requests))
            try:
                take, voice = await _speak(source, sentence, request)
                spoken.append(take)
            except HubError as error:
                if error.status < 500:
                    raise
                spoken.append(Spoken(sentence=sentence, error=f"{error.code}: {error.message}"))
    return Recital(
        model=wanted.model,
        voice=voice,
        one_voice=bool(voice or recordings or not can.cloning),
        spoken=spoken,
        recordings=[(audio.samples, audio.sample_rate) for audio in map(decode, recordings)],
        load=load,
        peak_memory=peak() or None,
    )


def requests_for(wanted: Wanted, can: Capabilities) -> list[tuple[Sentence, SpeechRequest]]:
    """Return the sentences with their requests, in the languages that are wanted and that the model can speak."""
    known = languages_of(can.languages)
    strange = [name for name in wanted.languages if name not in known]
    if strange or not known:
        raise Failed(
            "unsupported_capability",
            f"model {wanted.model!r} cannot be verified in {', '.join(strange) or 'any language'}: it speaks "
            f"{', '.join(can.languages) or 'any language'}",
            f"there are sentences in {', '.join(SENTENCES)}",
        )
    chosen = wanted.languages or tuple(known)
    if wanted.english_only and chosen != ("en",):
        raise Failed(
            "bad_input",
            f"this Whisper hears English alone, and model {wanted.model!r} would speak {', '.join(chosen)}",
            "name another with --whisper, or add --language en",
        )
    return [
        (
            sentence,
            SpeechRequest(
                text=sentence.text,
                model=wanted.model,
                voice=wanted.voice,
                references=wanted.references,
                language=known[name],
                seed=SEED if can.seed else None,
                format=FORMAT,
                stream=True,
            ),
        )
        for name in chosen
        for sentence in SENTENCES[name][: wanted.most]
    ]


async def _recordings(source: LocalHub | RemoteHub, wanted: Wanted) -> list[bytes]:
    """Return the files of the voice that the model imitates; none if it is a preset, or no voice is named."""
    from hub.cli.local import LocalHub

    if wanted.references or wanted.voice is None:
        return [reference.audio for reference in wanted.references]
    voices = LocalVoices(source.hub) if isinstance(source, LocalHub) else RemoteVoices(source)
    voice = await voices.get(wanted.voice)
    return [await voices.recording(wanted.voice, number) for number in range(len(voice["recordings"]))]


async def _speak(source: LocalHub | RemoteHub, sentence: Sentence, request: SpeechRequest) -> tuple[Spoken, str]:
    """Speak one sentence; return it with the name of the voice. Raises HubError."""
    asked = time.perf_counter()
    audio = bytearray()
    arrivals: list[tuple[float, int]] = []
    async with source.speak(request, whole=False) as answer:
        async for part in answer:
            audio += part
            arrivals.append((time.perf_counter() - asked - answer.load, len(audio) // WIDTH))
    samples = np.frombuffer(bytes(audio[: len(audio) // WIDTH * WIDTH]), "<f4")
    spoken = Spoken(sentence=sentence, samples=samples, sample_rate=answer.sample_rate, arrivals=arrivals)
    return spoken, answer.voice


@asynccontextmanager
async def _watching(model: Model | None) -> AsyncIterator[Callable[[], int]]:
    """Look at the memory of the model's worker during the block; yield a function that returns the most so far."""
    most = 0

    async def look() -> None:
        nonlocal most
        while model is not None:
            most = max(most, await _held(model))
            await asyncio.sleep(GLANCE)

    looking = asyncio.create_task(look())
    try:
        yield lambda: most
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _held(model: Model) -> int:
    """Return the bytes that the model's worker holds on its device; 0 if they are unknown."""
    pid = model.engine.status.pid
    if pid is None:
        return 0
    said = await model.engine.measure()
    return (await asyncio.to_thread(used, model.memory().device, [pid])).get(pid, 0) if said is None else said
