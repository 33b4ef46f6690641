"""A take: one sentence as a model spoke it, and what was measured of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from hub.verify.sentences import Sentence
from hub.verify.sound import Samples, extent_of
from hub.verify.voiceprint import Voiceprint, similarity
from hub.verify.words import BY_CHARACTER, compare, units

LAST_CHARACTERS = 2
"""Characters that must be missing at the end of a sentence to count as lost; of words, one is enough."""


class Spoken(Struct, kw_only=True, frozen=True, eq=False):
    """The audio of a sentence: (N,) samples, and for each arrival its time and the samples that were there by then.

    Times are seconds since the request was sent to the loaded model. `error` says why there is no audio.
    """

    sentence: Sentence
    samples: Samples = np.empty(0, np.float32)
    sample_rate: int = 0
    arrivals: Sequence[tuple[float, int]] = ()
    error: str = ""


class Take(Struct, kw_only=True):
    """The measures of a sentence. Times are seconds; `error` says why there is no audio, and is else empty.

    `units` are the words or characters of the text, `errors` those that were heard wrongly, `missing` those that were
    lost at the end. `spoken` is the time without silence around the sentence and in its pauses. `work` is the time
    until the last audio came, `first_sound` until the first chunk that is not silent; None if all of it is.
    """

    language: str
    text: str
    beats: int
    error: str = ""
    heard: str = ""
    units: int = 0
    errors: int = 0
    missing: int = 0
    cut_off: bool = False
    seconds: float = 0.0
    spoken: float = 0.0
    work: float = 0.0
    first_sound: float | None = None
    similarity: float | None = None

    @property
    def lost_its_end(self) -> bool:
        """True if the last words are missing, or the sound ends in the middle of one."""
        return self.cut_off or self.missing >= (LAST_CHARACTERS if self.language in BY_CHARACTER else 1)


def measure(spoken: Spoken, heard: str) -> Take:
    """Return the measures of a sentence in which a listener heard `heard`, all but the similarity."""
    sentence = spoken.sentence
    found = compare(units(sentence.text, sentence.language), units(heard, sentence.language))
    take = Take(
        language=sentence.language,
        text=sentence.text,
        beats=sentence.beats,
        error=spoken.error,
        heard=heard,
        units=found.units,
        errors=found.errors,
        missing=found.missing,
    )
    extent = None if spoken.error else extent_of(spoken.samples, spoken.sample_rate)
    if extent is not None:
        take.seconds, take.work = len(spoken.samples) / spoken.sample_rate, spoken.arrivals[-1][0]
        take.cut_off, take.spoken = extent.cut_off, extent.spoken
        first = round(extent.start * spoken.sample_rate)
        take.first_sound = next(time for time, there in spoken.arrivals if there > first)
    return take


def likenesses(takes: Sequence[Voiceprint | None], references: Sequence[Voiceprint | None] = ()) -> list[float | None]:
    """Return how much each take sounds like the references, without any like the other takes: the median over them.

    None where there is nothing to compare. The median makes one odd take stand out, and also voices that take turns.
    """
    found: list[float | None] = []
    for number, take in enumerate(takes):
        others = references or [other for index, other in enumerate(takes) if index != number]
        known = [similarity(take, other) for other in others if take is not None and other is not None]
        found.append(statistics.median(known) if known else None)
    return found


def first_sound_of(takes: Sequence[Take]) -> float | None:
    """Return the median time to the first sound; None if there was none."""
    times = [take.first_sound for take in takes if take.first_sound is not None]
    return float(np.median(times)) if times else None
