"""Tasks: a text, chapters or a batch; watched or polled; some cancelled. Each must give the exact result requested."""

from __future__ import annotations

import asyncio
import io
import random
import time
import zipfile
from dataclasses import dataclass, field
from typing import Any

import httpx
import soundfile

from bench.soak.book import Book
from bench.soak.patient import SEGMENT_CHARS, TONES, Patient
from bench.soak.verify import joined_difference, sentence
from hub.service.tasks.assemble import PAUSE
from hub.service.tasks.speech_plan import segment_spans
from hub.text.speakable import clean

PATIENCE = 180.0
"""Seconds within which a task must be completed, however many hubs and workers are killed."""


@dataclass
class Wanted:
    """A task that was sent, with the text of each item of its result, in segments."""

    id: str
    body: dict[str, Any]
    items: list[list[str]]
    cancelled: bool = False
    began: float = field(default_factory=time.monotonic)


class Jobs:
    """Each call of `live` is the life of one task, from its creation to the deletion of its result."""

    def __init__(self, patient: Patient, book: Book, chance: random.Random, client: httpx.AsyncClient) -> None:
        self._patient = patient
        self._book = book
        self._chance = chance
        self._client = client
        self._count = 0
        self.unfinished: set[str] = set()

    async def live(self) -> None:
        """Have one task accepted, completed and deleted, whatever happens to the hub."""
        wanted = self._make()
        kind = "task, " + ("batch" if "items" in wanted.body else "chapters" if "chapters" in wanted.body else "text")
        self.unfinished.add(wanted.id)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._until(lambda: self._submit(wanted))
                if wanted.cancelled:
                    await asyncio.sleep(self._chance.uniform(0, 1))
                    await self._until(lambda: self._post_cancel(wanted))
                task = await self._until(lambda: self._finished(wanted))
                wrong = await self._until(lambda: self._difference(wanted, task))
                await self._until(lambda: self._delete(wanted))
        except TimeoutError:
            self._book.fail(kind, f"{wanted.id} is not done after {PATIENCE:g} s")
            return
        except Exception as error:
            self._book.fail(kind, f"{wanted.id}: {error!r}")
            return
        self.unfinished.discard(wanted.id)
        if wrong:
            self._book.fail(kind, f"{wanted.id}: {wrong}")
        else:
            self._book.count(kind, "cancelled" if task["state"] == "cancelled" else "ok")

    def _make(self) -> Wanted:
        self._count += 1
        shared: dict[str, Any] = {"model": self._chance.choice(TONES), "options": {"step_ms": 30, "chunk_ms": 400}}
        id, kind = f"soak-{self._count}", self._chance.choice(["text", "chapters", "batch"])
        lossless = {"container": self._chance.choice(["wav", "flac"])}
        if kind == "batch":
            texts = [sentence(self._chance) for _ in range(self._chance.randrange(1, 7))]
            items = [{"text": text, **shared, "format": lossless} for text in texts]
            body: dict[str, Any] = {"items": items}
        elif kind == "chapters":
            texts = [self._long(self._chance.randrange(2, 6)) for _ in range(3)]
            body = {"chapters": [{"title": f"Part {n}", "text": text} for n, text in enumerate(texts)], **shared}
            body |= {"format": lossless, "subtitles": True}
        else:
            texts = [self._long(self._chance.randrange(1, 14))]
            body = {"text": texts[0], **shared, "format": lossless}
        items = [_segments(clean(text)) for text in texts]
        return Wanted(id, {"id": id, **body}, items, cancelled=self._chance.random() < 0.15)

    def _long(self, count: int) -> str:
        return " ".join(sentence(self._chance) for _ in range(count))

    async def _until(self, act: Any) -> Any:
        """Repeat `act` until the hub answers. A connection that breaks while the hub runs is a fault."""
        while True:
            began = time.monotonic()
            try:
                return await act()
            except httpx.TransportError as error:
                if not self._book.hub_was_down(began):
                    raise
                self._book.count("task, interrupted request", type(error).__name__)
                await asyncio.sleep(0.3)

    async def _request(self, method: str, path: str, *statuses: int, **fields: Any) -> httpx.Response:
        answer = await self._client.request(method, self._patient.url + path, **fields)
        if answer.status_code not in statuses:
            raise ValueError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    async def _submit(self, wanted: Wanted) -> None:
        await self._request("POST", "/v1/tasks/speech", 200, 201, json=wanted.body)
        if self._chance.random() < 0.3:  # sending it again must give the same task
            await self._request("POST", "/v1/tasks/speech", 200, json=wanted.body)

    async def _post_cancel(self, wanted: Wanted) -> None:
        await self._request("POST", f"/v1/tasks/{wanted.id}/cancel", 200, 409)

    async def _finished(self, wanted: Wanted) -> dict[str, Any]:
        """Return the task once it has ended, by watching its events or by polling; watchers may leave."""
        while True:
            if self._chance.random() < 0.7:
                await self._watch(wanted.id)
            task: dict[str, Any] = (await self._request("GET", f"/v1/tasks/{wanted.id}", 200)).json()
            if task["state"] not in ("pending", "processing"):
                return task
            await asyncio.sleep(0.5)

    async def _watch(self, id: str) -> None:
        leaves = self._chance.random() < 0.3
        async with self._client.stream("GET", f"{self._patient.url}/v1/tasks/{id}/events") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("event: end") or (leaves and line.startswith("event: progress")):
                    return

    async def _difference(self, wanted: Wanted, task: dict[str, Any]) -> str:
        """Return the error in the result, or ""."""
        if wanted.cancelled and task["state"] == "cancelled":
            return ""
        if task["state"] != "completed" or task["result"]["failed"]:
            return f"{task['state']}: {task.get('error')} {task.get('result')}"
        path = f"/v1/tasks/{wanted.id}/result"
        content = (await self._request("GET", path, 200)).content
        files = _unzipped(content) if len(wanted.items) > 1 else [content]
        if len(files) != len(wanted.items):
            return f"{len(files)} files instead of {len(wanted.items)}"
        for data, texts in zip(files, wanted.items, strict=True):
            samples, _ = soundfile.read(io.BytesIO(data))
            if wrong := joined_difference(samples, texts, PAUSE):
                return wrong
        if wanted.body.get("subtitles"):
            subtitles = (await self._request("GET", path, 200, params={"item": 1, "subtitles": "srt"})).text
            if "-->" not in subtitles:
                return f"no subtitles: {subtitles[:100]!r}"
        return ""

    async def _delete(self, wanted: Wanted) -> None:
        await self._request(
            "DELETE", f"/v1/tasks/{wanted.id}", 204, 404
        )  # 404: the hub was killed between the deletion and the answer


def _segments(text: str) -> list[str]:
    return [text[start:end] for start, end in segment_spans(text, SEGMENT_CHARS)]


def _unzipped(content: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(name) for name in sorted(archive.namelist()) if not name.endswith((".srt", ".vtt"))]
