"""SpeechTasks: the task kind `speech`. It speaks a job segment by segment, records each, and joins them."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from hub.audio.subtitles import subtitles
from hub.contract.errors import HubError, InternalError, StorageFailed, from_fault
from hub.contract.event import AudioChunk, Fault, Mark
from hub.contract.speech import SpeechRequest
from hub.plugin.host import Host
from hub.plugin.tasks import Job, TaskWork
from hub.service.disk.folder import storing, write_file
from hub.service.models.model import Model
from hub.service.speech.desk import Desk
from hub.service.speech.marks import MarkedSpeech
from hub.service.speech.speak import speak
from hub.service.tasks.assemble import Spoken, SpokenSegment, assemble, marks_of
from hub.service.tasks.speech_plan import JobItem, Segment, SpeechJob, SpeechTask, check_loaded, plan
from hub.service.tasks.threads import in_thread
from hub.settings import TaskSettings
from hub.text.spoken import spoken_text

T = TypeVar("T")


class SpeechTasks:
    """The `TaskKind` for speech."""

    name = "speech"
    body = SpeechTask

    def __init__(self, desk: Desk, settings: TaskSettings) -> None:
        self._desk = desk
        self._settings = settings
        self._places = Places(settings.places)

    async def accept(self, hub: Host, body: SpeechTask) -> Job:
        """Check the body and plan its segments. Raises HubError."""
        job = await asyncio.to_thread(plan, self._desk, self._settings, body)
        await check_loaded(self._desk, job, body)
        return Job(data=msgspec.msgpack.encode(job), steps=sum(1 for _ in job.segments()))

    async def run(self, work: TaskWork) -> dict[str, Any]:
        """Speak the segments that are left, then write the files. Raises HubError if every item failed."""
        job = msgspec.msgpack.decode(work.job, type=SpeechJob)
        segments = list(job.segments())
        run = _Run(self._desk, work, self._places, await _journal(work), segments)
        left = iter([segment for segment in segments if segment.number not in run.spoken])
        async with _crew() as group:
            for _ in range(self._settings.places):
                group.create_task(run.speak_all(left))
        items = [await run.write(job, item, index) for index, item in enumerate(job.items)]
        return _summary(items)


class _Run:
    """One run of one task."""

    def __init__(
        self,
        desk: Desk,
        work: TaskWork,
        places: Places,
        spoken: dict[int, Spoken],
        segments: Sequence[Segment],
    ) -> None:
        self.desk = desk
        self.work = work
        self.spoken = spoken
        self._items: defaultdict[int, list[Segment]] = defaultdict(list)
        for segment in segments:
            self._items[segment.item].append(segment)
        self._places = places
        self._lost = {segments[number].item for number, record in spoken.items() if record.error is not None}

    async def speak_all(self, left: Iterator[Segment]) -> None:
        """Speak the segments of `left`, a shared iterator, until none remains."""
        for segment in left:
            if segment.item not in self._lost:
                await self._speak(segment)

    async def _speak(self, segment: Segment) -> None:
        try:
            model = self.desk.models.get(segment.request.model)
            async with self._places.at(model):
                request_id = f"{self.work.id}-{segment.number}"
                attempt = partial(speak_segment, self.desk, segment, model, request_id)
                pcm, record = await self.work.persist(model, attempt)
            await in_thread(lambda _: _storing(lambda: write_file(_file(self.work, segment.number), pcm)))
        except StorageFailed:
            raise
        except HubError as error:
            self._lost.add(segment.item)
            record = Spoken(error=msgspec.to_builtins(error.to_fault()))
        await self.work.finish_step(segment.number, msgspec.msgpack.encode(record), audio=record.seconds)
        self.spoken[segment.number] = record

    async def write(self, job: SpeechJob, item: JobItem, index: int) -> dict[str, Any]:
        """Write the files of one item; return its entry in the result."""
        own = self._items[index]
        shown: dict[str, Any] = {"item": index + 1, "title": item.title}
        error = next((record.error for one in own if (record := self.spoken.get(one.number)) and record.error), None)
        if error is not None:
            return {**shown, "error": error}
        heard = [
            SpokenSegment(self.spoken[one.number], _file(self.work, one.number), one.span, spoken_text(one.request))
            for one in own
        ]
        request = item.request or job.request
        spec = self.desk.encoders.get(request.format.container)
        if spec is None:
            raise InternalError(f"the container {request.format.container!r} is not available any more")
        target = self.work.folder / f"{index + 1:04}.{spec.extension}"
        done = await in_thread(
            lambda stopped: _storing(lambda: assemble(heard, request.format, target, self.desk.encoders, stopped))
        )
        voice = heard[0].spoken.voice
        if job.subtitles:
            marks = list(marks_of(heard))
            shown["subtitles"] = await in_thread(lambda _: _storing(lambda: _write_subtitles(target, marks)))
        shown |= {"file": target.name, "voice": voice, **msgspec.to_builtins(done)}
        return shown


async def speak_segment(desk: Desk, segment: Segment, model: Model, request_id: str) -> tuple[bytes, Spoken]:
    """Speak one segment to its end; return its samples as 32-bit float, and its record. Raises HubError."""
    request: SpeechRequest = segment.request
    if segment.drawn and not (await model.start()).capabilities.seed:
        request = replace(request, seed=None)
    speech = MarkedSpeech(await speak(desk, request, request_id=request_id), spoken_text(request))
    parts: list[bytes] = []
    marks: list[Mark] = []
    try:
        async for event in speech:
            if isinstance(event, AudioChunk):
                parts.append(event.pcm)
            elif isinstance(event, Mark):
                marks.append(event)
    finally:
        await speech.aclose()
    pcm = b"".join(parts)
    record = Spoken(samples=len(pcm) // 4, sample_rate=speech.sample_rate, voice=speech.voice, marks=marks)
    return pcm, record


class Places:
    """A limit on the segments at each model: at most `most`, and one fewer than the model can speak at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def at(self, model: Model) -> AsyncIterator[None]:
        """Hold a place at `model`."""
        name = model.name
        async with self._freed:
            await self._freed.wait_for(lambda: self._taken[name] < min(self._most, max(1, model.lane.concurrency - 1)))
            self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            async with self._freed:
                self._freed.notify_all()


@asynccontextmanager
async def _crew() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a TaskGroup that raises its first error itself, instead of a group of errors."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _journal(work: TaskWork) -> dict[int, Spoken]:
    """Return the records of finished segments whose files are complete."""
    records = {number: msgspec.msgpack.decode(data, type=Spoken) for number, data in (await work.done()).items()}

    def whole(number: int, record: Spoken) -> bool:
        with suppress(OSError):
            return record.error is not None or _file(work, number).stat().st_size == record.samples * 4
        return False

    return await in_thread(lambda _: {number: record for number, record in records.items() if whole(number, record)})


def _file(work: TaskWork, number: int) -> Path:
    return work.scratch / f"{number:06}.f32"


def _write_subtitles(audio: Path, marks: list[Mark]) -> list[str]:
    """Write subtitles in both formats beside the audio; return the names of the files."""
    files = [audio.with_suffix(f".{format}") for format in ("srt", "vtt")]
    for file in files:
        write_file(file, subtitles(marks, file.suffix[1:]).encode())
    return [file.name for file in files]


def _storing(work: Callable[[], T]) -> T:
    with storing("the task's audio"):
        return work()


def _summary(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `Task.result`. Raises the first item's error if every item failed."""
    lost = [item for item in items if "error" in item]
    if len(lost) == len(items):
        raise from_fault(msgspec.convert(lost[0]["error"], Fault))
    return {
        "seconds": round(sum(item.get("seconds", 0.0) for item in items), 3),
        "failed": len(lost),
        "items": items,
    }
