"""Callers that behave like real ones: many at once, slow, or gone."""

import asyncio
import http.client
import io
import json
import socket
import struct

import httpx
import numpy as np
import soundfile

from hub.testing import tone

PACED = {"paced": True, "lead_ms": 0}
ENDLESS = {"seconds": 3600.0, **PACED}


def spoken(body, rate=None):
    """Return the text that a body of audio plays: a wav, or 16-bit pcm at `rate`."""
    if rate is None:
        return tone.decode(*soundfile.read(io.BytesIO(body)))
    return tone.decode(np.frombuffer(body, "<i2") / 32768, rate)


def stream_of(text, model="tone", **options):
    """Return the body of a request for streamed pcm."""
    return {"text": text, "model": model, "stream": True, "format": {"container": "pcm"}, "options": options}


def metric(text, name, **labels):
    """Return the value of a sample in the text of /metrics."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    (value,) = [sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()]
    return value


class Caller:
    """A caller with one request, which reads and leaves as the test says."""

    def __init__(self, url, body, headers=()):
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        headers = {"Content-Type": "application/json", **dict(headers)}
        self._connection.request("POST", "/v1/speech", json.dumps(body), headers)
        self._socket = self._connection.sock
        self._answer = None

    def answer(self):
        """Wait for the answer to begin."""
        self._answer = self._connection.getresponse()
        return self._answer

    def leave(self, *, rudely=False):
        """Close the connection; `rudely`: with a reset."""
        if rudely:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._answer is not None:
            self._answer.close()
        self._connection.close()


class AsyncCaller:
    """Callers by the dozen, on one event loop."""

    def __init__(self, url):
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False)
        self.get = self._client.get
        self.post = self._client.post

    async def speak(self, body, began=None):
        """Return the body of an answer, and whether the connection was cut before its end.

        Calls `began` once, at the first bytes.
        """
        received = b""
        async with self._client.stream("POST", "/v1/speech", json=body) as answer:
            assert answer.status_code == 200, await answer.aread()
            try:
                async for part in answer.aiter_raw():
                    if not received and began is not None:
                        began()
                    received += part
            except httpx.RemoteProtocolError:
                return received, True
        return received, False

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self._client.aclose()


async def until(condition, seconds=30.0):
    """Wait for a condition that no event announces (a process table, a counter)."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
