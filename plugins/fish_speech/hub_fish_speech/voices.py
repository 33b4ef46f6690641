"""Who speaks: the voices of a request -> the examples of a prompt, and S2's dialogues -> text with speaker tags."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from hub.contract import CastVoice, Reference, ResolvedRequest, Turn
from hub.text.sentences import Sentence, split_sentences
from hub.text.speakable import is_speakable
from hub_fish_speech.codec import Codec
from hub_fish_speech.prompt import Example
from hub_fish_speech.references import encode, unpack
from hub_fish_speech.text import SPEAKER, Segment, byte_length, group_sentences, pack_segments

REMEMBERED = 64
"""Recordings whose codes are kept, so that a caller who sends the same one with each request waits only once."""


class Voices:
    """Examples of voices; remembers the codes of the recordings that came last. Several threads may use it at once."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def examples(self, references: Sequence[Reference], prepared: bytes | None = None) -> list[Example]:
        """Transcripts and codes; a missing transcript is an empty one. Raises InvalidAudio."""
        if prepared is not None:
            return unpack(prepared)
        return [Example(reference.text or "", self._codes(reference.audio)) for reference in references]

    def of_request(self, request: ResolvedRequest) -> list[Example]:
        """Of all who speak. In a dialogue each transcript carries its speaker's tag.

        Raises InvalidAudio.
        """
        if request.turns:
            numbers = speaker_numbers(request.turns)
            return self._of_cast({str(number): request.cast.get(name or "") for name, number in numbers.items()})
        spoken = dict.fromkeys(found[1] for found in SPEAKER.finditer(request.text or ""))
        named = {tag: request.cast.get(tag) for tag in spoken}
        if any(named.values()):  # the text names speakers of the scene's cast by their tags
            return self._of_cast(named)
        return self.examples(request.references, request.prepared)

    def _of_cast(self, cast: dict[str, CastVoice | None]) -> list[Example]:
        found = []
        for tag, voice in cast.items():
            if voice is not None:
                for text, codes in self.examples(voice.references, voice.prepared):
                    found.append(Example(f"<|speaker:{tag}|>{SPEAKER.sub('', text)}", codes))
        return found

    def _codes(self, audio: bytes) -> Tensor:
        key = hashlib.sha256(audio).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        codes = encode(audio, self._codec)
        with self._lock:
            self._known[key] = codes
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return codes


def speaker_numbers(turns: Sequence[Turn]) -> dict[str | None, int]:
    """Speakers by the order in which they begin."""
    return {name: number for number, name in enumerate(dict.fromkeys(turn.speaker for turn in turns))}


def dialogue(turns: Sequence[Turn], limit: int) -> list[Segment]:
    """Turns as tagged text in segments of about `limit` bytes. Places count in the turns' texts, a line each."""
    numbers = speaker_numbers(turns)
    whole = "\n".join(turn.text for turn in turns)
    parts: list[Segment] = []
    start = 0
    for turn in turns:
        end = start + len(turn.text)
        tag = f"<|speaker:{numbers[turn.speaker]}|>"
        if is_speakable(turn.text):
            if byte_length(turn.text) <= limit:
                parts.append(Segment(tag + turn.text.strip(), (start, end)))
            else:
                sentences = [Sentence(one, start + a, start + b) for one, a, b in split_sentences(turn.text)]
                parts += [Segment(tag + one.text, one.span) for one in group_sentences(sentences, whole, limit)]
        start = end + 1
    return list(pack_segments(parts, limit))
