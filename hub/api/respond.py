"""Speech as an HTTP response, complete or while it is generated. For the routes of the hub and of plugins.

A plugin's route maps its family's request to a SpeechRequest and ends with

    return await speech_response(hub, request, speech_request, stream=True)

which waits for the first audio ("priming": an error until then has its own status and is never a 200 that breaks
off), then responds. `open_speech` and `audio_response` are its two halves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import numpy as np
from litestar import Request, Response
from litestar.response.base import ASGIResponse
from msgspec.structs import replace

from hub.api.http.departure import until_departure
from hub.api.http.request_id import HEADER, request_id
from hub.audio.encode import make_encoder
from hub.contract.conversion import ConversionRequest
from hub.contract.errors import Cancelled, HubError
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import AudioFormat, SpeechRequest

if TYPE_CHECKING:
    from hub.contract.speaking import Speaking
    from hub.plugin.host import Host

log = logging.getLogger("hub.api")

EXPOSED_HEADERS = ("X-Sample-Rate", HEADER, "X-Model", "X-Voice", "Retry-After")
"""Response headers that a web page of another origin may read."""

INLINE_SECONDS = 2.0
"""A longer chunk is packed in a thread, even into wav or pcm: resampling it would delay all other audio."""

T = TypeVar("T")


class PackedSpeech:
    """A speech on its way into a container. Iterate the bytes, then always call `aclose`, which stops the model.

    `whole` means that nothing is sent before the end, so that a header can have the exact length. `listener` gets each
    event before its bytes are sent.
    """

    listener: Callable[[AudioChunk | Mark | Done], None] | None = None

    def __init__(self, hub: Host, speech: Speaking, format: AudioFormat, *, whole: bool = False) -> None:
        self.speech = speech
        self.encoder = make_encoder(format, speech.sample_rate, whole=whole, encoders=hub.encoders)
        self.stall_timeout = hub.settings.worker.stall_timeout
        self.seconds = 0.0
        self._cheap = format.container in ("wav", "pcm")
        self._working: asyncio.Future[Any] | None = None

    async def _run(self, seconds: float, work: Callable[..., T], *arguments: Any) -> T:
        if self._cheap and seconds < INLINE_SECONDS:
            return work(*arguments)
        self._working = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
        return await asyncio.shield(self._working)

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event, bytes):
                    yield event

    async def events(self) -> AsyncGenerator[bytes | Mark | Done, None]:
        """Yield the bytes, the marks between them, and after all bytes the Done."""
        encoder = self.encoder
        done = Done()
        async for event in self.speech:
            if self.listener is not None:
                self.listener(event)
            if isinstance(event, AudioChunk):
                seconds = event.seconds
                self.seconds += seconds
                if part := await self._run(seconds, encoder.feed, np.frombuffer(event.pcm, "<f4")):
                    yield part
            elif isinstance(event, Mark):
                yield event
            else:
                done = event
        if part := await self._run(self.seconds, encoder.finish):
            yield part
        yield done

    async def aclose(self) -> None:
        """Stop the model and free the encoder."""
        await self.speech.aclose()
        if self._working is not None and not self._working.done():
            await asyncio.wait([self._working])  # a thread cannot be cancelled, and still uses the encoder
        self.encoder.close()


class PartsResponse(Response[bytes]):
    """A response sent part by part. A failure cuts the connection, so that no client takes it for complete."""

    def __init__(
        self, parts: AsyncIterator[bytes], source: PackedSpeech, *, media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(b"", media_type=media_type, headers=headers)
        self.parts = parts
        self.source = source

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **arguments: Any) -> ASGIResponse:
        """Return the ASGI response; Litestar calls this."""
        headers = {**(arguments.get("headers") or {}), **self.headers}
        return _SendParts(self, headers, arguments.get("cookies"))


class _SendParts(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, response: PartsResponse, headers: dict[str, str], cookies: Any) -> None:
        super().__init__(headers=headers, cookies=cookies, media_type=response.media_type)
        self._parts = response.parts
        self._source = response.source
        self._request_id = response.headers[HEADER]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send everything. Return early, which cuts the connection, if the caller leaves or the speech breaks off."""
        try:
            async with until_departure(receive):
                await self.start_response(send)
                async for part in self._parts:
                    await self._send(send, {"type": "http.response.body", "body": part, "more_body": True})
                await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except Cancelled as error:
            self._log(logging.INFO, error.message)
        except HubError as error:
            self._log(logging.WARNING, f"{error.code}: {error.message}")
        except Exception:  # the response has begun: no error can be sent any more
            self._log(logging.ERROR, "the hub failed", exc_info=True)
        finally:
            await self._source.aclose()

    async def _send(self, send: Any, message: dict[str, Any]) -> None:
        """Raises Cancelled if the caller reads nothing for `worker.stall_timeout`."""
        try:
            async with asyncio.timeout(self._source.stall_timeout):
                await send(message)
        except TimeoutError:
            raise Cancelled("the caller stopped reading (worker.stall_timeout)") from None

    def _log(self, level: int, reason: str, **more: Any) -> None:
        seconds = self._source.seconds
        log.log(level, "request %s: cut off after %.1f s of audio: %s", self._request_id, seconds, reason, **more)


async def open_speech(
    hub: Host, request: Request[Any, Any, Any], wanted: SpeechRequest | ConversionRequest
) -> Speaking:
    """Call `hub.speak` or `hub.convert` for an HTTP request; stop waiting if the caller leaves. Raises HubError."""
    async with until_departure(request.receive):
        if isinstance(wanted, ConversionRequest):
            return await hub.convert(wanted, request_id=request_id(request.scope))
        return await hub.speak(wanted, request_id=request_id(request.scope))


async def pack(hub: Host, speech: Speaking, format: AudioFormat, *, whole: bool) -> PackedSpeech:
    """Pack `speech` into a container of the hub. If the encoder cannot be made, the model is stopped."""
    try:
        return PackedSpeech(hub, speech, format, whole=whole)
    except BaseException:
        await speech.aclose()
        raise


async def audio_response(
    hub: Host, request: Request[Any, Any, Any], speech: Speaking, format: AudioFormat, *, stream: bool
) -> Response[bytes]:
    """Return the response for a primed speech, and close the speech whatever happens.

    `stream` sends the audio while it is generated. Otherwise the response is complete, with its Content-Length and
    exact headers, and a HubError that ends the speech is raised.
    """
    packed = await pack(hub, speech, format, whole=not stream)
    if stream:
        media_type = packed.encoder.media_type
        return PartsResponse(aiter(packed), packed, media_type=media_type, headers=speech_headers(packed))
    try:
        async with until_departure(request.receive):
            body = b"".join([part async for part in packed])
    finally:
        await packed.aclose()
    return Response(body, media_type=packed.encoder.media_type, headers=speech_headers(packed))


async def speech_response(
    hub: Host,
    request: Request[Any, Any, Any],
    wanted: SpeechRequest | ConversionRequest,
    *,
    stream: bool | None = None,
) -> Response[bytes]:
    """Speak or convert `wanted` and respond with its audio. Raises HubError.

    `stream`, unless it is None, replaces `wanted.stream`, which the model sees too.
    """
    if stream is not None and stream != wanted.stream:
        wanted = replace(wanted, stream=stream)
    speech = await open_speech(hub, request, wanted)
    return await audio_response(hub, request, speech, wanted.format, stream=wanted.stream)


def speech_headers(packed: PackedSpeech) -> dict[str, str]:
    """Return the headers for sample rate, request id, model and voice. Names beyond ASCII are percent-encoded."""
    speech = packed.speech
    return {
        "X-Sample-Rate": str(packed.encoder.sample_rate),
        HEADER: speech.request_id,
        "X-Model": quote(speech.model, safe=_READABLE),
        "X-Voice": quote(speech.voice, safe=_READABLE),
    }


_READABLE = " !#$&'()*+,/:;=?@[]"
