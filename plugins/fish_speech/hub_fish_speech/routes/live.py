"""`WS /v1/tts/live`, in the protocol of the vendor's SDK: text arrives in pieces, audio leaves in pieces.

Messages are msgpack maps with an `event`. The client sends `start` with a request, then `text`, `flush` (speak the text
so far), `stop` (the text is complete); the server sends `audio`, and `finish` with the `reason` stop or error. After a
`finish` another `start` may follow on the same socket.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler

from hub.api.http.request_id import HEADER, request_id
from hub.api.http.websockets import FORBIDDEN, FRAME, IDLE, ORDERLY, same_origin
from hub.api.respond import pack
from hub.contract.caller import current_caller
from hub.contract.errors import EmptyText, HubError, InternalError, InvalidRequest
from hub.contract.speech import SpeechRequest
from hub.plugin.host import Host
from hub.text.live_text import LiveText
from hub_fish_speech.options import RouteOptions
from hub_fish_speech.routes.shapes import TTSBody, as_body
from hub_fish_speech.routes.speech import tts_request

log = logging.getLogger("hub.api")


def routes(hub: Host, options: RouteOptions) -> list[WebsocketRouteHandler]:
    """The handlers."""

    @websocket("/v1/tts/live")
    async def live(socket: WebSocket) -> None:
        """Speak text that arrives in pieces."""
        await socket.accept(headers={HEADER: request_id(socket.scope)})
        if not same_origin(socket, hub.settings.cors.origins):
            await socket.close(FORBIDDEN, "this web page may not use the server (cors.origins)")
            return
        await _Connection(hub, options, socket).run()

    return [live]


class _Gone(Exception):
    """The client has left, or does not read."""


class _Connection:
    """One websocket. It speaks one utterance at a time: `_text` takes its pieces, `_work` speaks it."""

    def __init__(self, hub: Host, options: RouteOptions, socket: WebSocket) -> None:
        self._hub = hub
        self._options = options
        self._socket = socket
        self._name = request_id(socket.scope)
        self._text: LiveText | None = None
        self._work: asyncio.Task[None] | None = None
        self._begun = 0

    async def run(self) -> None:
        """Serve until the client leaves or is idle for too long."""
        try:
            while (frame := await self._receive()) is not None:
                try:
                    self._handle(_decode(frame))
                except HubError as error:
                    await self._fail(error)
            with suppress(OSError, WebSocketDisconnect):
                await self._socket.close(IDLE, "no message came for too long (live.idle_timeout)")
        except _Gone as gone:
            log.info("websocket %s: %s", self._name, gone)
            with suppress(OSError, WebSocketDisconnect, RuntimeError):
                await self._socket.close(ORDERLY)
        finally:
            await self._halt()

    async def _receive(self) -> str | bytes | None:
        """The next message; None if the client has sent none for too long. Raises _Gone."""
        while True:
            try:
                async with asyncio.timeout(self._hub.settings.live.idle_timeout):
                    event = await self._socket.receive()
            except TimeoutError:
                if self._work is None or self._work.done() or (self._text is not None and self._text.wanted):
                    return None
                continue  # the hub is at work
            if event["type"] != "websocket.receive":
                raise _Gone("the client left")
            text: str | bytes | None = event.get("text")
            return text if text is not None else event.get("bytes") or b""

    def _handle(self, message: dict[str, Any]) -> None:
        """Do what a message asks for. Raises HubError."""
        match message:
            case {"event": "start"}:
                self._start(message.get("request"))
            case {"event": "text", "text": str(piece)}:
                if self._text is not None:
                    self._text.write(piece)
            case {"event": "flush"}:
                if self._text is not None:
                    self._text.flush()
            case {"event": "stop"}:
                if self._text is not None:
                    self._text.end()
            case {"event": "text"}:
                raise InvalidRequest("a `text` event needs its text")
            case _:
                raise InvalidRequest("the `event` must be start, text, flush or stop")

    def _start(self, request: Any) -> None:
        if self._work is not None and not self._work.done():
            raise InvalidRequest("an utterance is open; send `stop` and wait for `finish` first")
        self._text = None  # text after a `start` that fails is dropped
        if not isinstance(request, dict) or not all(isinstance(name, str) for name in request):
            raise InvalidRequest("a `start` event needs its request")
        caller = current_caller.get()
        if caller is not None and self._begun:  # the first utterance was admitted with the socket
            caller.admit()
        self._begun += 1
        body = as_body({**request, "text": request.get("text") or ""}, TTSBody)
        wanted = tts_request(self._hub, self._options, body, self._socket.headers.get("model"))
        wanted.text, wanted.stream = None, True
        text = LiveText(self._options.max_text_length or self._hub.settings.limits.text_chars)
        text.write(body.text)
        self._text = text
        self._work = asyncio.create_task(self._speak(wanted, text, f"{self._name}.{self._begun}"))

    async def _speak(self, wanted: SpeechRequest, text: LiveText, name: str) -> None:
        """Speak one utterance, to its `finish`."""
        try:
            speech = await self._hub.speak_live(wanted, text, request_id=name)
            packed = await pack(self._hub, speech, wanted.format, whole=False)
            try:
                async for part in packed:
                    for at in range(0, len(part), FRAME):
                        await self._send({"event": "audio", "audio": part[at : at + FRAME]})
            finally:
                await packed.aclose()
        except EmptyText:
            pass  # an utterance without text is complete
        except HubError as error:
            await self._finish(error)
            return
        except _Gone:
            return
        except Exception:
            log.exception("websocket %s failed", self._name)
            await self._finish(InternalError("the hub failed; its log has the cause"))
            return
        await self._finish()

    async def _fail(self, error: HubError) -> None:
        """End the utterance, if there is one, with `error`."""
        await self._halt()
        self._text = None
        await self._finish(error)

    async def _halt(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _finish(self, error: HubError | None = None) -> None:
        if error is None:
            await self._quietly({"event": "finish", "reason": "stop"})
        else:
            facts = {"message": error.message, "code": error.code, "status": error.status}
            await self._quietly({"event": "finish", "reason": "error", **facts})

    async def _quietly(self, event: dict[str, Any]) -> None:
        with suppress(_Gone):  # `run` notices it as well
            await self._send(event)

    async def _send(self, event: dict[str, Any]) -> None:
        """Send one message. Raises _Gone."""
        patience = self._hub.settings.worker.stall_timeout
        try:
            async with asyncio.timeout(patience):
                await self._socket.send_bytes(msgspec.msgpack.encode(event))
        except TimeoutError:
            raise _Gone(f"the client did not read for {patience:g} s (worker.stall_timeout)") from None
        except (OSError, WebSocketDisconnect):
            raise _Gone("the client left") from None


def _decode(frame: str | bytes) -> dict[str, Any]:
    try:
        found = msgspec.msgpack.decode(frame) if isinstance(frame, bytes) else msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the message cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRequest("a message is a map with an `event`")
    return found
