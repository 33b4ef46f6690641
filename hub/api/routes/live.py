"""WS /v1/speech/live: text arrives in pieces, audio leaves in pieces, and each utterance can be cancelled.

Messages are JSON (text frames) or msgpack (binary frames); events use whichever the client used last.
`hub.api.routes.messages` defines them. The utterances of a socket are spoken one after the other, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.types import ControllerRouterHandler

from hub.api.http.auth import KeyHolder
from hub.api.http.problems import invalid_body
from hub.api.http.request_id import HEADER, request_id
from hub.api.http.websockets import FAILED, FORBIDDEN, FRAME, IDLE, ORDERLY, same_origin
from hub.api.respond import PackedSpeech, pack
from hub.api.routes import messages
from hub.contract.caller import current_caller
from hub.contract.errors import Busy, Conflict, HubError, InternalError, InvalidRequest, NotFound
from hub.contract.event import Mark
from hub.service.speech.live import check_live
from hub.text.live_text import LiveText

if TYPE_CHECKING:
    from hub.service.hub import Hub

log = logging.getLogger("hub.api")

_json: msgspec.json.Decoder[messages.ClientMessage] = msgspec.json.Decoder(messages.ClientMessage)
_msgpack: msgspec.msgpack.Decoder[messages.ClientMessage] = msgspec.msgpack.Decoder(messages.ClientMessage)


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""

    @websocket("/v1/speech/live")
    async def live(socket: WebSocket[Any, Any, Any]) -> None:
        """Speak text that arrives in pieces."""
        await socket.accept(headers={HEADER: request_id(socket.scope)})
        if not same_origin(socket, hub.settings.cors.origins):
            await socket.close(FORBIDDEN, "this web page may not use the hub (cors.origins)")
            return
        await Session(hub, socket).run()

    return [live]


class _Gone(Exception):
    """The client has left, or reads nothing."""


class _Utterance:
    """An utterance, from its first text to its end."""

    def __init__(self, id: str, text: LiveText, config: messages.Configure) -> None:
        self.id = id
        self.text = text
        self.config = config
        self.packed: PackedSpeech | None = None
        self.task: asyncio.Task[messages.Ended] | None = None
        self.error: HubError | None = None
        self.stopped = False

    def stop(self, error: HubError | None = None) -> None:
        """Stop speaking: the client cancelled the utterance, or it failed with `error`."""
        self.stopped, self.error = True, error
        self.text.end()
        if self.task is not None:
            self.task.cancel()

    @property
    def seconds(self) -> float:
        """Seconds of audio so far."""
        return round(self.packed.seconds, 4) if self.packed else 0.0


class Session:
    """One websocket, from its acceptance to its end."""

    def __init__(self, hub: Hub, socket: WebSocket[Any, Any, Any]) -> None:
        self._hub = hub
        self._socket = socket
        self._name = request_id(socket.scope)
        self._in_msgpack = False
        self._config = messages.Configure()
        self._pending: dict[str, _Utterance] = {}  # not yet ended, in order
        self._queue: asyncio.Queue[_Utterance | None] = asyncio.Queue()
        self._open: _Utterance | None = None  # receives the text; may already have failed
        self._count = 0
        self._begun = 0
        self._closing = False
        self._active_at = 0.0
        self._frames: deque[str | bytes] = deque()  # a sender that is cancelled leaves its frames to the next one
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Serve until the client leaves, asks to close, or is idle for too long."""
        work = [asyncio.create_task(self._read_all()), asyncio.create_task(self._speak_all())]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            closed = done.pop().result()
        except _Gone as gone:
            log.info("websocket %s: %s", self._name, gone)
            closed = None
        except Exception:
            log.exception("websocket %s failed", self._name)
            closed = messages.Closed(code=FAILED, reason="the hub failed; its log has the cause")
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if closed is not None:
            with suppress(_Gone, OSError, WebSocketDisconnect):
                await self._send(closed)
                await self._socket.close(closed.code, closed.reason)

    # -- reading ----------------------------------------------------------------------------------

    async def _read_all(self) -> messages.Closed:
        self._active_at = asyncio.get_running_loop().time()
        while True:
            frame = await self._receive()
            if frame is None:
                seconds = self._hub.settings.live.idle_timeout
                return messages.Closed(code=IDLE, reason=f"no message for {seconds:g} s (live.idle_timeout)")
            self._in_msgpack = isinstance(frame, bytes)
            try:
                await self._handle(_decode(frame))
            except HubError as error:
                await self._send(messages.Failed.of(error))

    async def _receive(self) -> str | bytes | None:
        """Return the next message; None if the client was idle for too long. Raises _Gone."""
        loop = asyncio.get_running_loop()
        patience = self._hub.settings.live.idle_timeout
        while True:
            try:
                async with asyncio.timeout_at(self._active_at + patience):
                    event = await self._socket.receive()
            except TimeoutError:
                if loop.time() < self._active_at + patience:
                    continue
                if all(utterance.text.wanted for utterance in self._pending.values()):
                    return None
                self._active_at = loop.time()  # the hub is working
                continue
            self._active_at = loop.time()
            if event["type"] != "websocket.receive":
                raise _Gone("the client left")
            text: str | bytes | None = event.get("text")
            return text if text is not None else event.get("bytes") or b""

    async def _handle(self, message: messages.ClientMessage) -> None:
        if self._closing and not isinstance(message, messages.Cancel):
            raise InvalidRequest("only `cancel` may follow `close`")
        if isinstance(message, messages.Configure):
            model = (await check_live(self._hub.desk, message.request())).name
            self._config = message
            container = message.format.container
            await self._send(messages.Configured(model=model, container=container, audio=message.audio))
        elif isinstance(message, messages.Text):
            await self._text(message)
        elif isinstance(message, messages.Cancel):
            self._cancel(message.utterance)
        elif isinstance(message, messages.Close):
            self._close()
        elif self._open is None:
            raise InvalidRequest("no utterance is open; send `text` first")
        elif isinstance(message, messages.Flush):
            self._open.text.flush()
        else:
            self._open.text.end()
            self._open = None

    async def _text(self, message: messages.Text) -> None:
        opened = self._open
        if opened is None:
            opened = await self._begin(message.utterance)
        elif message.utterance not in (None, opened.id):
            raise InvalidRequest(f"utterance {opened.id!r} is open; send `done` before the next one's text")
        if opened.stopped:
            return
        try:
            opened.text.write(message.text)
        except HubError as error:
            opened.stop(error)

    async def _begin(self, id: str | None) -> _Utterance:
        """Queue a new utterance; one that fails at once stays open and drops the rest of its text."""
        if id is not None and id in self._pending:
            raise Conflict(f"utterance {id!r} already exists; choose another id")
        while id is None or id in self._pending:
            self._count += 1
            id = f"u{self._count}"
        self._begun += 1
        utterance = _Utterance(id, LiveText(self._hub.settings.limits.text_chars), self._config)
        self._open = utterance
        try:
            limit = self._hub.settings.live.utterances
            if len(self._pending) >= limit:
                raise Busy(f"there are already {limit} utterances (live.utterances); wait for one to end")
            holder = current_caller.get()
            if isinstance(holder, KeyHolder) and self._begun > 1:  # the first one was admitted with the socket
                holder.admit()
        except HubError as error:
            utterance.stop(error)
            await self._send(messages.Failed.of(error, id))
            return utterance
        self._pending[id] = utterance
        self._queue.put_nowait(utterance)
        return utterance

    def _cancel(self, id: str | None) -> None:
        found = self._pending.get(id) if id is not None else next(iter(self._pending.values()), None)
        if found is None:
            raise NotFound(f"there is no utterance {id!r} to cancel" if id else "there is no utterance to cancel")
        found.stop()
        if self._open is found:
            self._open = None

    def _close(self) -> None:
        self._closing = True
        if self._open is not None:
            self._open.text.end()
        self._queue.put_nowait(None)

    # -- speaking ---------------------------------------------------------------------------------

    async def _speak_all(self) -> messages.Closed:
        number = 0
        while (utterance := await self._queue.get()) is not None:
            number += 1
            if not utterance.stopped:
                utterance.task = asyncio.create_task(self._speak(utterance, f"{self._name}.{number}"))
                try:
                    await asyncio.wait([utterance.task])
                finally:
                    utterance.task.cancel()
                    await asyncio.gather(utterance.task, return_exceptions=True)
            ending = await _ending(utterance)
            del self._pending[utterance.id]
            await self._send(ending)
        return messages.Closed(code=ORDERLY, reason="as requested")

    async def _speak(self, utterance: _Utterance, name: str) -> messages.Ended:
        config, id = utterance.config, utterance.id
        speech = await self._hub.speak_live(config.request(), utterance.text, request_id=name, words=config.words)
        packed = utterance.packed = await pack(self._hub, speech, config.format, whole=False)
        try:
            encoder = packed.encoder
            await self._send(
                messages.Started(
                    utterance=id,
                    model=speech.model,
                    voice=speech.voice,
                    media_type=encoder.media_type,
                    sample_rate=encoder.sample_rate,
                )
            )
            report: dict[str, Any] = {}
            async for event in packed.events():
                if isinstance(event, bytes):
                    await self._send_audio(utterance, event)
                elif isinstance(event, Mark):
                    await self._send(messages.Marked.of(event, id))
                else:
                    report = event.report
            return messages.Ended(utterance=id, seconds=utterance.seconds, report=report)
        finally:
            await packed.aclose()

    # -- sending ----------------------------------------------------------------------------------

    async def _send_audio(self, utterance: _Utterance, audio: bytes) -> None:
        for at in range(0, len(audio), FRAME):
            part = audio[at : at + FRAME]
            if utterance.config.audio == "binary":
                await self._send(messages.Audio(utterance=utterance.id, size=len(part)), part)
            else:
                await self._send(messages.Audio(utterance=utterance.id, size=len(part), audio=part))

    async def _send(self, message: messages.ServerMessage, audio: bytes | None = None) -> None:
        """Send an event, followed by its audio; wait while the client is slow to read. Raises _Gone."""
        if self._in_msgpack:
            self._frames.append(msgspec.msgpack.encode(message))
        else:
            self._frames.append(msgspec.json.encode(message).decode())
        if audio is not None:
            self._frames.append(audio)
        patience = self._hub.settings.worker.stall_timeout
        async with self._sending:
            while self._frames:
                frame = self._frames[0]
                event: Any = {"type": "websocket.send", "text" if isinstance(frame, str) else "bytes": frame}
                try:
                    async with asyncio.timeout(patience):
                        await self._socket.send(event)
                except TimeoutError:
                    raise _Gone(f"the client read nothing for {patience:g} s (worker.stall_timeout)") from None
                except (OSError, WebSocketDisconnect):
                    raise _Gone("the client left") from None
                self._frames.popleft()
        self._active_at = asyncio.get_running_loop().time()


async def _ending(utterance: _Utterance) -> messages.Ended | messages.Failed:
    """Return the event that ends an utterance whose task has finished. Raises _Gone."""
    task, error = utterance.task, utterance.error
    if task is not None and not utterance.stopped:
        try:
            return await task
        except HubError as raised:
            error = raised
        except _Gone:
            raise
        except Exception:
            log.exception("utterance %s failed", utterance.id)
            error = InternalError("the hub failed; its log has the cause")
    if error is not None:
        utterance.stop(error)
        return messages.Failed.of(error, utterance.id)
    return messages.Ended(utterance=utterance.id, seconds=utterance.seconds, cancelled=True)


def _decode(frame: str | bytes) -> messages.ClientMessage:
    try:
        return _json.decode(frame) if isinstance(frame, str) else _msgpack.decode(frame)
    except msgspec.ValidationError as error:
        raise invalid_body(error, messages.ClientMessage) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        kind = "JSON" if isinstance(frame, str) else "msgpack"
        raise InvalidRequest(f"the message is not valid {kind}: {error}") from error
