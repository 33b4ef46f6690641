"""From what a model spoke to the report on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from hub.verify.sound import Samples
from hub.verify.takes import Spoken, Take, likenesses, measure
from hub.verify.verdict import Bounds, ComparedWith, Report, report_on
from hub.verify.voiceprint import voiceprint


class Recital(Struct, kw_only=True, frozen=True, eq=False):
    """All that a model has spoken, in order.

    `voice` is "" if none was named and the model has no presets; `one_voice` is False if the sentences may then differ
    in their voices. `recordings` are (N,) samples and sample rates of the voice that it is to speak like, none for a
    preset. `load` is in seconds, `peak_memory` in bytes of the worker, if known.
    """

    model: str
    voice: str
    one_voice: bool
    spoken: Sequence[Spoken]
    recordings: Sequence[tuple[Samples, int]] = ()
    load: float = 0.0
    peak_memory: int | None = None


Hear = Callable[[Samples, int, str], str]
"""The words in (N,) samples at a sample rate, in a language: `Listener.hear`."""


def judge(recital: Recital, hear: Hear, bounds: Bounds) -> Report:
    """Listen to all sentences, measure them, and return the report with its verdict."""
    takes = [
        measure(one, "" if one.error else hear(one.samples, one.sample_rate, one.sentence.language))
        for one in recital.spoken
    ]
    return report_on(
        takes,
        bounds,
        model=recital.model,
        voice=recital.voice,
        compared_with=_compare_voices(recital, takes),
        load=recital.load,
        peak_memory=recital.peak_memory,
    )


def _compare_voices(recital: Recital, takes: Sequence[Take]) -> ComparedWith:
    """Set the similarity of each take; return with what it was compared.

    Sentences are compared with each other within a language: the sounds of another one move the voiceprint.
    """
    if not (recital.recordings or recital.one_voice):
        return "nothing"
    references = [voiceprint(*recording) for recording in recital.recordings]
    prints = [voiceprint(one.samples, one.sample_rate) if one.samples.size else None for one in recital.spoken]
    for language in {take.language for take in takes}:
        places = [place for place, take in enumerate(takes) if take.language == language]
        for place, likeness in zip(places, likenesses([prints[one] for one in places], references), strict=True):
            takes[place].similarity = likeness
    return "reference" if references else "each other"
