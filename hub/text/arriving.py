"""Sentences of a text that arrives in pieces, each as soon as no later piece can change it."""

from __future__ import annotations

from hub.text.sentences import Sentence, split_sentences
from hub.text.speakable import is_speakable

LONGEST = 600
"""Characters after which a sentence without an end is cut, at a clause or a space: a listener is waiting."""


class ArrivingSentences:
    """Finds the sentences that `split_sentences` finds, however the text is cut into pieces.

    A sentence is complete when the next one has begun to say something: only then does the full stop of "Dr." or "3."
    differ from an end. `flush` is for a caller that knows better. Positions count characters of all pieces joined.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._pending = ""
        self._offset = 0  # of the pending text, in the whole text

    @property
    def length(self) -> int:
        """The number of characters so far."""
        return self._offset + len(self._pending)

    def feed(self, piece: str) -> list[Sentence]:
        """Add a piece; return the sentences that are complete now, in order."""
        self._pending += piece
        endless = len(self._pending) > 3 * self._longest  # a thousand dots or spaces: do not wait for their end
        if not endless and not is_speakable(piece):
            return []  # only speakable text completes the sentence before it
        found = split_sentences(self._pending, self._longest)
        if len(found) > 1 and is_speakable(found[-1].text):
            return self._take(found[:-1], found[-1].start)
        return self._take(found, len(self._pending)) if endless else []

    def flush(self) -> list[Sentence]:
        """Return the rest, complete or not. A rest that has nothing to say stays, and joins the sentence after it."""
        if not is_speakable(self._pending):
            return []
        return self._take(split_sentences(self._pending, self._longest), len(self._pending))

    def _take(self, found: list[Sentence], end: int) -> list[Sentence]:
        taken = [Sentence(text, start + self._offset, stop + self._offset) for text, start, stop in found]
        self._pending = self._pending[end:]
        self._offset += end
        return taken
