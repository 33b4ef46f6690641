"""Speech over HTTP: whole, streamed, in OpenAI's form, as events; callers that leave, read slowly, or send nonsense."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np

from bench.soak.book import Book
from bench.soak.patient import NARROW, NEURAL, STEADY, TONES, Patient
from bench.soak.verify import CONTAINERS, audio_of, difference, is_beginning, joined_difference, sentence
from hub.testing import tone

TIMEOUT = 60.0
"""Seconds without a byte after which an answer counts as lost."""

Handle = Callable[[httpx.Response, bytearray], Awaitable[str]]
"""Reads the body, into the buffer if needed; returns the error in it, or "". Raises Left or Faulted."""


class Left(Exception):
    """The caller has left on purpose."""


class Faulted(Exception):
    """The answer ended with this fault, as data."""


class Callers:
    """All kinds of requests for speech. Each method sends one request and records its outcome."""

    def __init__(self, patient: Patient, book: Book, chance: random.Random) -> None:
        self._patient = patient
        self._book = book
        self._chance = chance
        self.client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
        narrow = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)]
        self._slow_client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(socket_options=narrow), timeout=TIMEOUT, trust_env=False
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()
        await self._slow_client.aclose()

    # -- kinds ------------------------------------------------------------------------------------

    async def whole(self) -> None:
        """Request a whole answer, in any container."""
        await self._tone("whole", stream=False)

    async def streamed(self) -> None:
        """Request a stream, in any container."""
        await self._tone("streamed", stream=True)

    async def dialogue(self) -> None:
        """Request a dialogue of two voices."""
        texts = [sentence(self._chance, 3) for _ in range(3)]
        turns = [{"text": text, "voice": voice} for text, voice in zip(texts, ("low", "high", "low"), strict=True)]
        body = {"turns": turns, "gap": 0.5, "model": self._chance.choice(TONES), "format": {"container": "pcm"}}

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            await _drain(answer, read)
            return joined_difference(np.frombuffer(read, "<i2") / 32768, texts, 0.5)

        await self._ask("dialogue", "/v1/speech", body, handle)

    async def neural(self) -> None:
        """Request the neural voice."""
        body = {"text": "It is one o'clock.", "model": NEURAL, "stream": self._chance.random() < 0.5}

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            await _drain(answer, read)
            samples, rate = audio_of(bytes(read), "wav", 0)
            return "" if 0.5 < len(samples) / rate < 5 and np.abs(samples).max() > 0.01 else "no speech"

        await self._ask("neural voice", "/v1/speech", body, handle)

    async def openai(self) -> None:
        """Use OpenAI's route, for audio or for events."""
        text, voice, sse = sentence(self._chance), self._chance.choice(list(tone.PITCHES)), self._chance.random() < 0.5
        container = self._chance.choice(["pcm", "wav", "mp3", "flac"])
        body = {"model": self._chance.choice(TONES), "input": text, "voice": voice, "response_format": container}

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            if not sse:
                await _drain(answer, read)
                return difference(bytes(read), container, text, tone.PITCHES[voice])
            async for name, data in _events(answer):
                if name == "speech.audio.delta":
                    read += base64.b64decode(data["audio"])
                elif name == "speech.audio.done":
                    return difference(bytes(read), container, text, tone.PITCHES[voice])
                else:
                    raise Faulted(data["error"])
            return "no done event"

        await self._ask("openai", "/v1/audio/speech", {**body, "stream_format": "sse" if sse else "audio"}, handle)

    async def events(self) -> None:
        """Request server-sent events with marks."""
        text, voice = sentence(self._chance), self._chance.choice(list(tone.PITCHES))
        body = {"text": text, "voice": voice, "model": self._chance.choice(TONES), "format": {"container": "pcm"}}

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            async for name, data in _events(answer):
                if name == "audio":
                    read += base64.b64decode(data["audio"])
                elif name == "done":
                    return difference(bytes(read), "pcm", text, tone.PITCHES[voice])
                elif name == "fault":
                    raise Faulted(data)
            return "neither done nor fault"

        await self._ask("events", "/v1/speech/events?words=true", body, handle)

    async def leaving(self) -> None:
        """Request a stream, and leave midway."""
        size = self._chance.randrange(1, 80_000)
        body = self._hum(self._chance.choice(TONES), 120.0, paced=True)

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            async for part in answer.aiter_raw():
                read += part
                if len(read) >= size:
                    raise Left
            return "ended by itself"

        await self._ask("leaving midway", "/v1/speech", body, handle)

    async def leaving_the_queue(self) -> None:
        """Send a request to a crowded model, and leave after a moment, waiting or not."""
        body = self._hum(NARROW, 1.0, step_ms=100)
        try:
            async with asyncio.timeout(self._chance.uniform(0.01, 0.6)):
                await self._ask("leaving the queue", "/v1/speech", body, self._counted(1.0))
        except TimeoutError:
            self._book.count("leaving the queue", "left")

    async def crowd(self) -> None:
        """Send more requests at once than a model accepts."""
        bodies = [self._hum(NARROW, 1.0, step_ms=self._chance.choice([20, 100, 200])) for _ in range(7)]
        await asyncio.gather(*(self._ask("crowd", "/v1/speech", body, self._counted(1.0)) for body in bodies))

    async def slow_reader(self) -> None:
        """Read two minutes of audio through a narrow connection, with pauses."""
        seconds = 120.0
        body = self._hum(self._chance.choice(TONES), seconds)

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            count = 0
            async for part in answer.aiter_raw():
                count += len(part)
                await asyncio.sleep(len(part) / 600_000)
            wanted = round(seconds * tone.SAMPLE_RATE) * 2
            return "" if count == wanted else f"{count} bytes instead of {wanted}"

        await self._ask("slow reader", "/v1/speech", body, handle, client=self._slow_client)

    async def nonsense(self) -> None:
        """Send an invalid request, which must be refused with its own error."""
        body, status, code = self._chance.choice(NONSENSE)
        try:
            content = body if isinstance(body, bytes) else json.dumps({"model": STEADY, **body}).encode()
            began = time.monotonic()
            headers = {"Content-Type": "application/json"}
            answer = await self.client.post(f"{self._patient.url}/v1/speech", content=content, headers=headers)
            found = (answer.status_code, answer.json()["code"])
        except httpx.TransportError as error:
            self._book.settle("bad request", STEADY, began, "connection broken", repr(error))
            return
        if found == (status, code):
            self._book.count("bad request", code)
        else:
            self._book.fail("bad request", f"{found} for {body!r} instead of {(status, code)}")

    # -- what they share --------------------------------------------------------------------------

    async def speak(self, kind: str, model: str, voice: str, pitch: int, container: str = "wav") -> bool:
        """Speak a sentence with this voice; return True if it was spoken. Errors are recorded."""
        text = sentence(self._chance, 5)

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            await _drain(answer, read)
            return difference(bytes(read), container, text, pitch)

        body = {"text": text, "voice": voice, "model": model, "format": {"container": container}}
        return await self._ask(kind, "/v1/speech", body, handle)

    async def _tone(self, kind: str, *, stream: bool) -> None:
        text, voice = sentence(self._chance, self._chance.randrange(2, 9)), self._chance.choice(list(tone.PITCHES))
        container = self._chance.choice(CONTAINERS)
        chosen = {"sample_rate": self._chance.choice([16_000, 48_000])} if self._chance.random() < 0.3 else {}
        body = {
            "text": text,
            "voice": voice,
            "model": self._chance.choice(TONES),
            "stream": stream,
            "format": {"container": container, **chosen},
            "options": self._chance.choice([{}, {"marks": True}, {"step_ms": 20}, {"step_ms": 60}]),
        }

        async def handle(answer: httpx.Response, read: bytearray) -> str:
            await _drain(answer, read)
            rate = chosen.get("sample_rate", tone.SAMPLE_RATE)
            return difference(bytes(read), container, text, tone.PITCHES[voice], rate)

        beginning = text if container == "pcm" and not chosen else None
        await self._ask(f"{kind}, {container}", "/v1/speech", body, handle, beginning=beginning)

    def _hum(self, model: str, seconds: float, **options: Any) -> dict[str, Any]:
        options = {"seconds": seconds, **options}
        return {"text": "hum", "model": model, "stream": True, "format": {"container": "pcm"}, "options": options}

    def _counted(self, seconds: float) -> Handle:
        async def handle(answer: httpx.Response, read: bytearray) -> str:
            await _drain(answer, read)
            wanted = round(seconds * tone.SAMPLE_RATE) * 2
            return "" if len(read) == wanted else f"{len(read)} bytes instead of {wanted}"

        return handle

    async def _ask(
        self,
        kind: str,
        path: str,
        body: dict[str, Any],
        handle: Handle,
        *,
        client: httpx.AsyncClient | None = None,
        beginning: str | None = None,
    ) -> bool:
        """Send one request. A broken-off answer to a text in `beginning` must be the beginning of that text."""
        began, read, model = time.monotonic(), bytearray(), body["model"]
        try:
            async with (client or self.client).stream("POST", self._patient.url + path, json=body) as answer:
                if answer.status_code == 200:
                    wrong = await handle(answer, read)
                else:
                    await answer.aread()
                    problem = answer.json()
                    problem = problem.get("error", problem)
                    self._book.settle(kind, model, began, problem["code"], problem["message"])
                    return False
        except Left:
            self._book.count(kind, "left")
            return False
        except Faulted as fault:
            problem = fault.args[0]
            self._book.settle(kind, model, began, problem["code"], problem["message"])
            return False
        except httpx.TimeoutException as error:
            self._book.settle(kind, model, began, "no answer", repr(error))
            return False
        except httpx.TransportError as error:
            self._book.settle(kind, model, began, "connection broken", repr(error))
            if beginning is not None and not is_beginning(bytes(read), beginning):
                self._book.fail(kind, f"the received part is not the beginning of {beginning!r}")
            return False
        except Exception as error:  # an undecodable answer is a wrong one
            wrong = repr(error)
        if wrong:
            self._book.fail(kind, f"model {model}: {wrong}")
            return False
        self._book.count(kind, "ok")
        return True


NONSENSE: list[tuple[dict[str, Any] | bytes, int, str]] = [
    ({"text": "hello", "voice": "nobody"}, 404, "unknown_voice"),
    ({"text": "hello", "model": "none"}, 404, "unknown_model"),
    ({"text": ""}, 400, "empty_text"),
    ({"text": "?!"}, 400, "unspeakable_text"),
    ({"text": "hello", "colour": 1}, 400, "invalid_request"),
    ({"text": "hello", "format": {"container": "mid"}}, 400, "invalid_request"),
    ({"text": "hello", "options": {"unknown": 1}}, 400, "invalid_request"),
    ({"text": "hello", "options": {"fail_at": 0}}, 500, "backend_failed"),
    ({"text": "hello", "options": {"empty": True}}, 502, "empty_audio"),
    ({"text": "hello", "options": {"nan": True}}, 502, "empty_audio"),
    ({"text": "hello", "instruct": "Whisper."}, 400, "unsupported_capability"),
    ({"text": "x" * 100_001}, 413, "too_large"),
    (b"{", 400, "invalid_request"),
]


async def _drain(answer: httpx.Response, read: bytearray) -> None:
    async for part in answer.aiter_raw():
        read += part


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield (type, data) of server-sent events."""
    async for line in answer.aiter_lines():
        if line.startswith("data:"):
            data = json.loads(line[5:])
            yield data.get("type", ""), data
