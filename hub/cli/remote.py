"""`RemoteHub`: a running hub, over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx
import msgspec

from hub.cli.failure import Unreachable
from hub.contract.conversion import ConversionRequest
from hub.contract.errors import BackendCrashed, HubError, from_fault
from hub.contract.event import Fault
from hub.contract.speech import SpeechRequest

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 600.0
"""Seconds between two reads of an answer: longer than any model's `deadline` is likely to be."""

WAV_HEADER = 44

OPENAI_CODES = {
    "model_not_found": "unknown_model",
    "invalid_api_key": "unauthorized",
    "rate_limit_exceeded": "rate_limited",
}
"""The hub's codes for errors in OpenAI's shape, which the routes below /v1/models use."""


class RemoteHub:
    """A `Source`. Raises Unreachable when no hub answers at the URL."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = url if "://" in url else f"http://{url}"
        headers = {"x-api-key": api_key} if api_key else {}
        try:
            self._client = httpx.AsyncClient(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
                limits=httpx.Limits(max_connections=None),
            )
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Unreachable("server_unreachable", f"invalid URL {url!r}: {error}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Any:
        """Return the JSON at `path`. Raises Unreachable, or the HubError that the hub answers with."""
        return await self.call("GET", path)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, `body` as JSON; return the JSON of the answer, None if it is empty. Raises as `get` does."""
        content = None if body is None else msgspec.json.encode(body)
        try:
            response = await self._client.request(
                method, path, content=content, headers={"content-type": "application/json"} if content else None
            )
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise self._unreachable(error) from None
        if response.is_error:
            raise self._refusal(response)
        if response.status_code == 204:
            return None
        try:
            return response.json()
        except ValueError:
            raise self._stranger(response) from None

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[httpx.Response]:
        """Open an answer to read while it arrives. Raises as `get` does, also if it breaks off within the block."""
        try:
            async with self._client.stream("GET", path) as response:
                if response.is_error:
                    await response.aread()
                    raise self._refusal(response)
                yield response
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise self._unreachable(error) from None

    @asynccontextmanager
    async def speak(self, request: SpeechRequest | ConversionRequest, *, whole: bool) -> AsyncIterator[RemoteAnswer]:
        """Implement `Source.speak`."""
        exact = request.format.container in ("wav", "pcm")  # their lengths can be corrected afterwards
        streamed = exact or not whole
        body = msgspec.json.encode(msgspec.structs.replace(request, stream=streamed))
        asked = time.perf_counter()
        path = "/v1/conversion" if isinstance(request, ConversionRequest) else "/v1/speech"
        sent = self._client.build_request("POST", path, content=body, headers={"content-type": "application/json"})
        try:
            response = await self._client.send(sent, stream=True)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise self._unreachable(error) from None
        try:
            if response.is_error:
                await response.aread()
                raise self._refusal(response)
            if not response.headers.get("content-type", "").startswith(("audio/", "application/octet-stream")):
                raise self._stranger(response)
            yield RemoteAnswer(response, asked if streamed else None, request.format.container if exact else "")
        finally:
            await response.aclose()

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            "server_unreachable",
            f"no hub answers at {self.url}: {error or type(error).__name__}",
            "is it running? `ttshub serve` starts one",
        )

    def _stranger(self, response: httpx.Response) -> Unreachable:
        return Unreachable(
            "server_unreachable", f"{self.url} answered {response.status_code}, but not as a hub does", "check --url"
        )

    def _refusal(self, response: httpx.Response) -> Exception:
        try:
            body = msgspec.json.decode(response.content)
            if isinstance(body, dict) and isinstance(body.get("error"), dict):
                body = {name: body["error"].get(name) for name in ("code", "message")}
                body["code"] = OPENAI_CODES.get(body["code"], body["code"])
            fault = msgspec.convert(body, Fault)
        except msgspec.DecodeError:
            return self._stranger(response)
        error: HubError = from_fault(fault)
        return error


class RemoteAnswer:
    """The `Answer` of a hub over HTTP."""

    def __init__(self, response: httpx.Response, asked: float | None, container: str) -> None:
        self._response = response
        self._asked = asked
        self._container = container
        headers = response.headers
        self.model = headers.get("x-model", "")
        self.voice = headers.get("x-voice", "")
        self.sample_rate = int(headers.get("x-sample-rate", 0))
        self.load = 0.0
        self.first_audio: float | None = None
        self.seconds: float | None = None
        self.spoken: int | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        try:
            async for part in self._response.aiter_raw():
                if self.first_audio is None and self._asked is not None:
                    self.first_audio = time.perf_counter() - self._asked
                received += len(part)
                if self._container and self.sample_rate:
                    header = WAV_HEADER if self._container == "wav" else 0
                    self.seconds = max(0, received - header) / 2 / self.sample_rate  # 16-bit mono
                yield part
        except httpx.TransportError:
            request_id = self._response.headers.get("x-request-id", "")
            raise BackendCrashed(f"the hub broke off its answer; its log says why (request {request_id})") from None
