"""Live websockets: several utterances in pieces; some are cancelled, some abandoned with the socket."""

from __future__ import annotations

import asyncio
import json
import random
import time
from base64 import b64decode
from typing import Any

import numpy as np
import websockets

from bench.soak.book import Book
from bench.soak.patient import LIVE, SHAKY, STEADY, Patient
from bench.soak.speech import TIMEOUT
from bench.soak.verify import sentence
from hub.testing import tone


async def live(patient: Patient, book: Book, chance: random.Random) -> None:
    """Open one socket, with up to four utterances."""
    model, began = chance.choice([STEADY, SHAKY, LIVE]), time.monotonic()
    try:
        url = patient.url.replace("http", "ws") + "/v1/speech/live"
        async with asyncio.timeout(TIMEOUT), websockets.connect(url, proxy=None) as socket:
            session = _Session(socket, model, book, chance)
            await session.configure()
            for _ in range(chance.randrange(1, 5)):
                if not await session.utterance():
                    return
            await session.send("close")
            async for _ in socket:
                pass
    except TimeoutError:
        book.settle("live", model, began, "no answer", f"after {TIMEOUT:g} s")
    except (OSError, websockets.WebSocketException) as error:
        book.settle("live", model, began, "connection broken", repr(error))
    except Exception as error:  # an unreadable answer is a wrong one
        book.fail("live", repr(error))


class _Session:
    def __init__(self, socket: Any, model: str, book: Book, chance: random.Random) -> None:
        self._socket = socket
        self._model = model
        self._book = book
        self._chance = chance

    async def configure(self) -> None:
        audio = self._chance.choice(["binary", "base64"])
        options = {"step_ms": self._chance.choice([0, 30])}
        await self.send("configure", model=self._model, format={"container": "pcm"}, audio=audio, options=options)
        answer = json.loads(await self._socket.recv())
        if answer["type"] != "configured":
            self._book.fail("live", f"{answer} to configure")

    async def send(self, type: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": type, **fields}))

    async def utterance(self) -> bool:
        """Send some sentences, and read the answer; return False if the socket was abandoned."""
        began = time.monotonic()
        texts = [sentence(self._chance, 3) for _ in range(self._chance.randrange(1, 4))]
        whole = " ".join(texts)
        fate = self._chance.choice(["heard"] * 4 + ["cancelled", "left"])
        at = 0
        while at < len(whole):
            size = self._chance.randrange(1, 30)
            await self.send("text", text=whole[at : at + size])
            at += size
        await self.send("flush" if fate == "left" and self._chance.random() < 0.5 else "done")
        if fate == "cancelled":
            await asyncio.sleep(self._chance.uniform(0, 0.1))
            await self.send("cancel")
        leaves_after = self._chance.randrange(3) if fate == "left" else None
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] not in ("done", "fault"):
            if len(events) == leaves_after:
                self._socket.transport.abort()
                self._book.count("live", "left")
                return False
            events.append(await self._event())
        self._judge(events, texts, fate, began)
        return True

    async def _event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await self._socket.recv())
        while event.get("code") == "not_found" and "utterance" not in event:
            self._book.count("live", "cancelled too late")  # the utterance had ended already
            event = json.loads(await self._socket.recv())
        if event["type"] == "audio":
            event["audio"] = b64decode(event["audio"]) if "audio" in event else await self._socket.recv()
        return event

    def _judge(self, events: list[dict[str, Any]], texts: list[str], fate: str, began: float) -> None:
        end = events[-1]
        if end["type"] == "fault":
            self._book.settle("live", self._model, began, end["code"], end["message"])
            return
        if end.get("cancelled"):
            if fate == "cancelled":
                self._book.count("live", "cancelled")
            else:
                self._book.fail("live", "cancelled without a request")
            return
        wrong = self._difference(events, texts)
        if wrong:
            self._book.fail("live", f"model {self._model}: {wrong}")
        else:
            self._book.count("live", "ok")

    def _difference(self, events: list[dict[str, Any]], texts: list[str]) -> str:
        audio = b"".join(event["audio"] for event in events if event["type"] == "audio")
        samples, rate = np.frombuffer(audio, "<i2") / 32768, tone.SAMPLE_RATE
        if self._model == LIVE:
            said, wanted = [tone.decode(samples, rate)], [" ".join(texts)]
        else:
            times = [
                (round(event["start"] * rate), round(event["end"] * rate))
                for event in events
                if event["type"] == "mark" and event["kind"] == "sentence"
            ]
            said, wanted = [tone.decode(samples[start:end], rate) for start, end in times], texts
        return "" if said == wanted else f"{said} instead of {wanted}"
