"""A light HTTP client that keeps a player's clock: one connection per request, no more work than counting bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import httptools

from hub.testing import tone

PCM_SECOND = 2 * tone.SAMPLE_RATE
"""Bytes per second of audio, as sent with `format: pcm`."""


class Answer(asyncio.Protocol):
    """One request and its answer. `done` is set when the answer is complete or the connection is lost."""

    def __init__(self) -> None:
        self.status = 0
        self.first: float | None = None  # seconds from the request to the first byte of the body
        self.bytes = 0
        self.underruns = 0  # pieces that arrived after the player had run out of audio
        self.latest = 0.0  # the most seconds by which a piece was late
        self.complete = False
        self.done = asyncio.Event()
        self._parser = httptools.HttpResponseParser(self)
        self._asked = self._dry = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, path: str, body: bytes, method: str = "POST") -> None:
        """Send the request, and start the clock."""
        head = f"{method} {path} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        self._asked = time.perf_counter()
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        now = time.perf_counter()
        if self.first is None:
            self.first = now - self._asked
            self.status = self._parser.get_status_code()
            self._dry = now
        elif now > self._dry:
            self.underruns += 1
            self.latest = max(self.latest, now - self._dry)
            self._dry = now
        self.bytes += len(piece)
        self._dry += len(piece) / PCM_SECOND

    def on_message_complete(self) -> None:
        self.complete = True
        self.done.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.done.set()

    def again(self) -> None:
        """Prepare for another answer on the same connection; the counts go on."""
        self.first, self.complete = None, False
        self.done.clear()

    def close(self) -> None:
        """Leave, whether or not the answer is complete."""
        self._transport.close()


async def connect(port: int) -> Answer:
    """Connect to the hub; the connection is ready to `ask`."""
    _, answer = await asyncio.get_running_loop().create_connection(Answer, "127.0.0.1", port)
    return answer


def stream_of(seconds: float, **options: Any) -> bytes:
    """Return the body of a request for `seconds` of streamed hum, 24 kHz, 16 bits."""
    options = {"seconds": seconds, **options}
    return json.dumps({"text": "hum", "stream": True, "format": {"container": "pcm"}, "options": options}).encode()


async def play(port: int, body: bytes, limit: float) -> Answer:
    """Request a stream and read it to its end, or for `limit` seconds; then it is not `complete`."""
    answer = await connect(port)
    answer.ask("/v1/speech", body)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(answer.done.wait(), limit)
    answer.close()
    return answer
