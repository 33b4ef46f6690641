"""Text that arrives in pieces -> ids, as soon as no later piece can change them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hub_cosyvoice.tokenizer import Tokenizer

_WHOLE = re.compile(r".*[\s\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef,.!?;:]", re.S)
"""The text up to the last character that ends a word in any case."""

_SENTENCE = re.compile(r".*?[。？！.?!]+[\"”’')\]]*(?=\s|[^\s\x00-\x7f]|$)", re.S)
"""The first sentence."""

UTTERANCE = 300
"""Ids after which the end of a sentence ends the utterance: the models speak very long ones badly."""

LONGEST_PART = 300
"""The most characters that are taken at once without an end of a sentence."""


class ArrivingIds:
    """Cuts between words; a long text becomes several utterances, cut between sentences."""

    def __init__(self, pieces: Iterator[str], tokenizer: Tokenizer) -> None:
        self._pieces = pieces
        self._encode = tokenizer.encode
        self._text = ""  # has arrived, and has no ids yet
        self._ended = False

    def more(self) -> bool:
        """True if there is something left to say. Blocks until that is known."""
        while not self._text.strip() and not self._ended:
            self._pull()
        return bool(self._text.strip())

    def utterance(self) -> Iterator[int]:
        """The ids of the next utterance, one by one as they arrive."""
        count = 0
        while True:
            part = self._take()
            if part:
                ids = self._encode(part)
                yield from ids
                count += len(ids)
                at_end = _SENTENCE.fullmatch(part.strip()) is not None
                if count >= (UTTERANCE if at_end else 3 * UTTERANCE):
                    return
            elif self._ended:
                return
            else:
                self._pull()

    def _take(self) -> str:
        """Take the whole words that have arrived, up to the end of the first sentence; "" if there are none.

        A space stays with the word after it, as the tokenizer wants it.
        """
        found = _WHOLE.match(self._text)
        words = self._text if self._ended else found.group() if found else ""
        sentence = _SENTENCE.match(words)
        part = (sentence.group() if sentence else words)[:LONGEST_PART]
        if not self._ended:
            part = part.rstrip(" ")
        self._text = self._text[len(part) :]
        return part

    def _pull(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self._ended = True
        else:
            self._text += piece
