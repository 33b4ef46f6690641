"""Recordings that a caller names, by path or URL, instead of sending them. Off unless the settings allow it.

A URL's address is checked after its name has been resolved. The connection goes to that very address, because a second
lookup could return another one. Every redirect is checked like the first request. The hub uses no proxy, and sends no
cookie and no key.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from pathlib import Path

import httpx

from hub.contract.errors import Forbidden, InvalidRequest, TooLarge
from hub.settings import ReferenceSettings

REDIRECTS = 5

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_path(path: str, settings: ReferenceSettings, limit: int) -> bytes:
    """Read the file at `path`, absolute or relative to a root. It must lie in one of `settings.roots`, links resolved.

    Raises Forbidden for any other path, whether the file exists or not; TooLarge over `limit` bytes.
    """
    for root in settings.roots:
        try:
            base = Path(root).resolve(strict=True)
            file = (base / path).resolve(strict=True)
            if file.is_relative_to(base) and file.is_file():
                with open(file, "rb") as opened:
                    return _bounded(opened.read(limit + 1), limit)
        except (OSError, ValueError, RuntimeError):  # no such file; a null byte; a loop of links
            continue
    raise Forbidden(
        "there is no file at this path, or callers may not name it; send the recording, or see `references.roots`"
    )


async def fetch(url: str, settings: ReferenceSettings, limit: int) -> bytes:
    """Fetch the bytes at `url`. Raises Forbidden if not allowed, InvalidRequest, or TooLarge over `limit` bytes."""
    if not settings.urls:
        raise Forbidden("this hub does not fetch recordings; send the recording itself, or see `references.urls`")
    try:
        async with asyncio.timeout(settings.url_timeout), httpx.AsyncClient(trust_env=False, timeout=None) as client:
            target = _checked_url(url)
            for _ in range(REDIRECTS + 1):
                answer = await _get(client, target, settings, limit)
                if isinstance(answer, bytes):
                    return answer
                target = answer
    except TimeoutError:
        raise InvalidRequest(f"the recording at the URL did not arrive within {settings.url_timeout:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        raise InvalidRequest("the URL could not be fetched: it is invalid, or its server does not answer") from None
    raise InvalidRequest(f"the URL redirects more than {REDIRECTS} times")


async def _get(client: httpx.AsyncClient, url: httpx.URL, settings: ReferenceSettings, limit: int) -> bytes | httpx.URL:
    """The body, or the target of a redirect. The TLS certificate must be that of the name, not of the address."""
    address = await _resolve(url, settings)
    request = client.build_request(
        "GET",
        url.copy_with(host=str(address)),
        headers={"Host": url.netloc.decode("ascii"), "Accept": "audio/*, */*;q=0.1", "Accept-Encoding": "identity"},
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        if response.is_redirect:
            return _checked_url(str(url.join(response.headers.get("location", ""))))
        if response.status_code != 200:
            raise InvalidRequest(f"the URL could not be fetched: its server answered {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise InvalidRequest("the URL could not be fetched: its server sent a compressed body")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > limit:
                break
        return _bounded(bytes(body), limit)
    finally:
        await response.aclose()


def _checked_url(text: str) -> httpx.URL:
    url = httpx.URL(text)
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise InvalidRequest("a recording's URL must begin with http:// or https://, and contain no password")
    return url


async def _resolve(url: httpx.URL, settings: ReferenceSettings) -> Address:
    """The address of `url`. Raises Forbidden if one of its addresses is private, unless the settings allow that."""
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(
        url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses:
        raise OSError("the name has no address")
    if not settings.private_addresses and not all(map(is_public, addresses)):
        raise Forbidden("the URL leads to a private address; see `references.private_addresses`")
    return addresses[0]


def is_public(address: Address) -> bool:
    """True if `address` is on the public internet, and so is the IPv4 address that an IPv6 one may contain."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        carried = (address.sixtofour, *(address.teredo or ()))
        if not all(is_public(one) for one in carried if one is not None):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _bounded(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise TooLarge(f"the recording has more than {limit} bytes; use a shorter one", limit=limit)
    return data
