"""API keys and their limits, and which addresses may be bound without keys."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable
from typing import Any

from litestar.types import ASGIApp

from hub.contract.caller import current_caller
from hub.contract.errors import RateLimited, Unauthorized
from hub.settings import ApiKey, AuthSettings, Settings, SettingsError

OPEN = {"open": True}
"""`opt` of a handler that needs no key."""

WS_UNAUTHORIZED, WS_RATE_LIMITED = 4401, 4429
"""Close codes of a websocket, 4000 + the HTTP status."""


class Bucket:
    """A token bucket: `per_minute` tokens flow in evenly, and it holds that many. It may be overdrawn."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._size = max(per_minute, 1.0)
        self._clock = clock
        self._level = self._size
        self._at = clock()

    def take(self, amount: float) -> None:
        """Take `amount`, even below zero."""
        self._fill()
        self._level -= amount

    def wait(self, amount: float) -> float:
        """Return the seconds until `amount` is available; 0 if it is now."""
        self._fill()
        return max(0.0, (amount - self._level) / self._rate)

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now


class KeyHolder:
    """A named key, as a `hub.contract.caller.Caller`."""

    def __init__(self, key: ApiKey, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = key.name
        self.digest = hashlib.sha256(key.key.encode()).digest()
        self._requests = Bucket(key.requests_per_minute, clock) if key.requests_per_minute else None
        self._audio = Bucket(key.audio_seconds_per_minute, clock) if key.audio_seconds_per_minute else None

    def admit(self) -> None:
        """Count a request. Raises RateLimited if the requests or the audio seconds are used up for now.

        Audio is charged as it is generated, so a response may overdraw its bucket; the next request waits for it.
        """
        if self._requests is not None and (wait := self._requests.wait(1.0)) > 0:
            raise RateLimited(
                f"key {self.name!r} has used up its requests per minute", retry_after=wait, limit="requests"
            )
        if self._audio is not None and (wait := self._audio.wait(0.0)) > 0:
            raise RateLimited(
                f"key {self.name!r} has used up its audio seconds per minute", retry_after=wait, limit="audio_seconds"
            )
        if self._requests is not None:
            self._requests.take(1.0)

    def charge_audio(self, seconds: float) -> None:
        """Count generated audio."""
        if self._audio is not None:
            self._audio.take(seconds)


class ApiKeys:
    """All keys of the settings. Falsy if there are none: then no key is needed."""

    def __init__(self, settings: AuthSettings) -> None:
        self._holders = [KeyHolder(key) for key in settings.keys]

    def __bool__(self) -> bool:
        return bool(self._holders)

    def named(self, name: str) -> KeyHolder | None:
        """Return the key of this name, for work that outlives its request."""
        return next((holder for holder in self._holders if holder.name == name), None)

    def holder(self, headers: list[tuple[bytes, bytes]]) -> KeyHolder:
        """Return the holder of the key in `Authorization: Bearer` or `x-api-key`. Raises Unauthorized.

        Every digest is compared, in constant time, even after one has matched.
        """
        presented = _presented(headers)
        if presented is None:
            raise Unauthorized("an API key is required: send `Authorization: Bearer KEY` or `x-api-key: KEY`")
        digest = hashlib.sha256(presented).digest()
        found: KeyHolder | None = None
        for holder in self._holders:
            if hmac.compare_digest(holder.digest, digest):
                found = holder
        if found is None:
            raise Unauthorized("unknown API key")
        return found


def _presented(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer" and key.strip():
                return key.strip()
        elif name in (b"x-api-key", b"xi-api-key") and value.strip():  # the second is ElevenLabs' clients'
            return value.strip()
    return None


def gate(keys: ApiKeys) -> Callable[[ASGIApp], ASGIApp]:
    """Return the middleware that requires a key, except for handlers with `opt=OPEN` and for OPTIONS."""

    def middleware(app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            if scope["route_handler"].opt.get("open") or scope.get("method") == "OPTIONS":
                await app(scope, receive, send)
                return
            try:
                holder = keys.holder(scope["headers"])
                holder.admit()
            except (Unauthorized, RateLimited) as error:
                if scope["type"] != "websocket":
                    raise
                await _refuse_websocket(receive, send, error)
                return
            token = current_caller.set(holder)
            try:
                await app(scope, receive, send)
            finally:
                current_caller.reset(token)

        return guarded

    return middleware


async def _refuse_websocket(receive: Any, send: Any, error: Unauthorized | RateLimited) -> None:
    """Accept, then close: a browser shows the close code of an open socket, but nothing of a refused handshake."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    code = WS_UNAUTHORIZED if isinstance(error, Unauthorized) else WS_RATE_LIMITED
    await send({"type": "websocket.close", "code": code, "reason": error.message[:100]})


def check_bind(settings: Settings) -> None:
    """Raise SettingsError for a public address without API keys, unless `server.allow_public` allows it."""
    host = settings.server.host
    if settings.auth.keys or settings.server.allow_public or is_loopback(host):
        return
    raise SettingsError(
        f"server.host: {host!r} can be reached from outside and there are no API keys; add [[auth.keys]], "
        "bind 127.0.0.1, or set server.allow_public = true if anyone may use this hub"
    )


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
