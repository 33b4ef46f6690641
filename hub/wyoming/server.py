"""A Wyoming server on sockets that already listen."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable

from hub.wyoming.conversation import Conversation
from hub.wyoming.speaker import Speaker

log = logging.getLogger("hub.wyoming")


async def serve(speaker: Speaker, sockets: Iterable[socket.socket]) -> None:
    """Serve all clients until cancelled, then end every conversation."""
    conversations: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            await Conversation(speaker, reader, writer).run()
        finally:
            conversations.discard(task)

    servers = [await asyncio.start_server(talk, sock=one) for one in sockets]
    try:
        await asyncio.gather(*(server.serve_forever() for server in servers))
    finally:
        for server in servers:
            server.close()
        for task in list(conversations):
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
