"""`LiveText`: the text of one utterance, which arrives in pieces while it is spoken."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal, Self

from hub.contract.errors import TooLarge
from hub.text.speakable import is_speakable, nothing_to_speak

UNREAD = 4096
"""Characters up to which unread pieces are joined: a text sent letter by letter takes no more memory than another."""

FLUSH: Literal[0] = 0
Word = str | Literal[0]
"""A piece of text, or FLUSH."""


class LiveText:
    """The text of one utterance: pieces go in, one reader takes them out. `limit` is in characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._words: deque[Word] = deque()
        self._news = asyncio.Event()
        self._speakable = False
        self._blank = True
        self._ended = False
        self.length = 0
        self.wanted = False  # True while the reader waits for more

    def write(self, piece: str) -> None:
        """Add text. Raises TooLarge over the limit."""
        self.length += len(piece)
        if self.length > self._limit:
            raise TooLarge(
                f"the utterance has over {self._limit} characters; end it and begin another, or raise "
                "limits.text_chars",
                limit=self._limit,
            )
        self._speakable = self._speakable or is_speakable(piece)
        self._blank = self._blank and not piece.strip()
        if not piece:
            return
        last = self._words[-1] if self._words else FLUSH
        if last != FLUSH and len(last) < UNREAD:
            self._words[-1] = last + piece
        else:
            self._words.append(piece)
        self._news.set()

    def flush(self) -> None:
        """Have the text so far spoken, complete or not; a model that reads the pieces itself decides for itself."""
        if not self._words or self._words[-1] != FLUSH:
            self._words.append(FLUSH)
            self._news.set()

    def end(self) -> None:
        """End the text."""
        self._ended = True
        self._news.set()

    async def speakable(self) -> None:
        """Wait until there is something to say. Raises EmptyText or UnspeakableText if the text ends before that."""
        while not self._speakable:
            if self._ended:
                raise nothing_to_speak(blank=self._blank)
            await self._more()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Word:
        while not self._words:
            if self._ended:
                raise StopAsyncIteration
            await self._more()
        return self._words.popleft()

    async def _more(self) -> None:
        self._news.clear()
        self.wanted = True
        try:
            await self._news.wait()
        finally:
            self.wanted = False
