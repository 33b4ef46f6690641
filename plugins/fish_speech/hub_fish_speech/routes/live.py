"""`WS /v1/tts/live`, as the vendor's SDK speaks it: text arrives in pieces, audio leaves in pieces.

Messages are msgpack maps with an `event`. The client sends `start` with a request, then `text`, `flush` (speak what is
there), `stop` (there is no more); the server sends `audio`, and `finish` with the `reason` stop or error. After a
`finish` another `start` may follow on the same socket.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler

from hub.api.http.auth import KeyHolder
from hub.api.http.request_id import HEADER, request_id
from hub.api.http.websockets import FORBIDDEN, FRAME, IDLE, ORDERLY, same_origin
from hub.api.respond import pack
from hub.contract.caller import current_caller
from hub.contract.errors import EmptyText, HubError, InternalError, InvalidRequest
from hub.contract.speech import SpeechRequest
from hub.text.live_text import LiveText
from hub_fish_speech.routes.shapes import TTSBody, as_body
from hub_fish_speech.routes.speech import tts_request

if TYPE_CHECKING:
    from hub.service.hub import Hub
    from hub_fish_speech.settings import RouteSettings

log = logging.getLogger("hub.api")


def routes(hub: Hub, settings: RouteSettings) -> list[WebsocketRouteHandler]:
    """The handlers."""

    @websocket("/v1/tts/live")
    async def live(socket: WebSocket) -> None:
        """Speak text that arrives in pieces."""
        await socket.accept(headers={HEADER: request_id(socket.scope)})
        if not same_origin(socket, hub.settings.cors.origins):
            await socket.close(FORBIDDEN, "this web page may not use the server (cors.origins)")
            return
        await _Session(hub, settings, socket).run()

    return [live]


class _Gone(Exception):
    """The client is gone, or reads nothing."""


class _Session:
    """One websocket. One utterance at a time: `_text` takes its pieces, `_task` speaks it."""

    def __init__(self, hub: Hub, settings: RouteSettings, socket: WebSocket) -> None:
        self._hub = hub
        self._settings = settings
        self._socket = socket
        self._name = request_id(socket.scope)
        self._text: LiveText | None = None
        self._task: asyncio.Task[None] | None = None
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
                await self._socket.close(IDLE, "nothing came for too long (live.idle_timeout)")
        except _Gone as gone:
            log.info("websocket %s: %s", self._name, gone)
            with suppress(OSError, WebSocketDisconnect, RuntimeError):
                await self._socket.close(ORDERLY)
        finally:
            await self._halt()

    async def _receive(self) -> str | bytes | None:
        """The next message; None if the client should have sent one by now. Raises _Gone."""
        while True:
            try:
                async with asyncio.timeout(self._hub.settings.live.idle_timeout):
                    event = await self._socket.receive()
            except TimeoutError:
                if self._task is None or self._task.done() or (self._text is not None and self._text.wanted):
                    return None
                continue  # the hub is at work
            if event["type"] != "websocket.receive":
                raise _Gone("the client left")
            text: str | bytes | None = event.get("text")
            return text if text is not None else event.get("bytes") or b""

    def _handle(self, message: dict[str, Any]) -> None:
        """Raises HubError."""
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
        if self._task is not None and not self._task.done():
            raise InvalidRequest("an utterance is open; send `stop` and wait for `finish` first")
        self._text = None  # what follows a `start` that fails is for nobody
        if not isinstance(request, dict) or not all(isinstance(name, str) for name in request):
            raise InvalidRequest("a `start` event needs its request")
        holder = current_caller.get()
        if isinstance(holder, KeyHolder) and self._begun:  # the first one was admitted with the socket
            holder.admit()
        self._begun += 1
        body = as_body({**request, "text": request.get("text") or ""}, TTSBody)
        wanted = tts_request(self._hub, self._settings, body, self._socket.headers.get("model"))
        wanted.text, wanted.stream = None, True
        text = LiveText(self._settings.max_text_length or self._hub.settings.limits.text_chars)
        text.write(body.text)
        self._text = text
        self._task = asyncio.create_task(self._speak(wanted, text, f"{self._name}.{self._begun}"))

    async def _speak(self, wanted: SpeechRequest, text: LiveText, name: str) -> None:
        """One utterance, to its `finish`."""
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
            pass  # nothing was to be said, and that is done
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
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _finish(self, error: HubError | None = None) -> None:
        if error is None:
            await self._quietly({"event": "finish", "reason": "stop"})
        else:
            told = {"message": error.message, "code": error.code, "status": error.status}
            await self._quietly({"event": "finish", "reason": "error", **told})

    async def _quietly(self, event: dict[str, Any]) -> None:
        with suppress(_Gone):  # the reader notices it as well
            await self._send(event)

    async def _send(self, event: dict[str, Any]) -> None:
        """Raises _Gone."""
        patience = self._hub.settings.worker.stall_timeout
        try:
            async with asyncio.timeout(patience):
                await self._socket.send_bytes(msgspec.msgpack.encode(event))
        except TimeoutError:
            raise _Gone(f"the client read nothing for {patience:g} s (worker.stall_timeout)") from None
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
