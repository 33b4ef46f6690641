"""The report on a model, and its verdict: the measures of its takes against bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from hub.verify.sentences import BEATS_A_SECOND
from hub.verify.takes import Take, first_sound_of
from hub.verify.words import BY_CHARACTER

MIB = 1024**2

ComparedWith = Literal["reference", "each other", "nothing"]
"""With what the voices of the sentences are compared: the recordings of the voice, or the other sentences."""


class Bounds(Struct, kw_only=True, frozen=True):
    """The measures that a model must keep. None judges nothing: speed and memory depend on the machine.

    The rates are wrong words, or characters, for each one of the text; `min_pace` and `max_pace` are multiples of the
    ordinary pace of a reader; times are seconds, `max_memory` is bytes.
    """

    max_word_errors: float = 0.1
    max_character_errors: float = 0.2
    min_similarity: float = 0.3
    min_pace: float = 0.65
    max_pace: float = 1.6
    max_rtf: float | None = None
    max_first_sound: float | None = None
    max_memory: int | None = None


class Language(Struct, kw_only=True, frozen=True):
    """The measures of the sentences of one language. `spoken` counts those of which there is audio.

    `similarity` is that of the least similar sentence. None means that there is nothing to measure.
    """

    language: str
    sentences: int
    spoken: int
    unit: Literal["words", "characters"]
    error_rate: float
    lost_ends: int
    pace: float | None
    similarity: float | None
    rtf: float | None
    first_sound: float | None


class Report(Struct, kw_only=True, frozen=True):
    """The measures of a model, and the verdict. Times are seconds, `peak_memory` is bytes of the worker, if known."""

    model: str
    voice: str
    passed: bool
    failures: Sequence[str]
    languages: Sequence[Language]
    compared_with: ComparedWith
    rtf: float | None
    first_sound: float | None
    load: float
    peak_memory: int | None
    bounds: Bounds
    takes: Sequence[Take]


def report_on(
    takes: Sequence[Take],
    bounds: Bounds,
    *,
    model: str,
    voice: str,
    compared_with: ComparedWith,
    load: float,
    peak_memory: int | None,
) -> Report:
    """Return the report with its verdict."""
    names = list(dict.fromkeys(take.language for take in takes))
    languages = [_language(name, [take for take in takes if take.language == name]) for name in names]
    rtf, first_sound = _rtf(takes), first_sound_of(takes)
    failures = [fault for language in languages for fault in _faults(language, bounds)]
    failures += dict.fromkeys(f"{take.language}: {take.error}" for take in takes if take.error)
    failures += _slow_or_big(rtf, first_sound, peak_memory, bounds)
    return Report(
        model=model,
        voice=voice,
        passed=not failures,
        failures=failures,
        languages=languages,
        compared_with=compared_with,
        rtf=rtf,
        first_sound=first_sound,
        load=load,
        peak_memory=peak_memory,
        bounds=bounds,
        takes=takes,
    )


def _language(name: str, takes: Sequence[Take]) -> Language:
    spoken = [take for take in takes if take.spoken]
    seconds = sum(take.spoken for take in spoken)
    similarities = [take.similarity for take in takes if take.similarity is not None]
    return Language(
        language=name,
        sentences=len(takes),
        spoken=len(spoken),
        unit="characters" if name in BY_CHARACTER else "words",
        error_rate=sum(take.errors for take in takes) / max(1, sum(take.units for take in takes)),
        lost_ends=sum(take.lost_its_end for take in takes),
        pace=sum(take.beats for take in spoken) / seconds / BEATS_A_SECOND[name] if spoken else None,
        similarity=min(similarities, default=None),
        rtf=_rtf(takes),
        first_sound=first_sound_of(takes),
    )


def _faults(found: Language, bounds: Bounds) -> Iterator[str]:
    """Yield what is wrong with one language, in words."""
    most = bounds.max_character_errors if found.unit == "characters" else bounds.max_word_errors
    if found.error_rate > most:
        yield f"{found.language}: {found.error_rate:.0%} of the {found.unit} were heard wrongly, above {most:.0%}"
    if found.lost_ends:
        yield f"{found.language}: {found.lost_ends} of {found.sentences} sentences lost their end"
    if found.pace is not None and not bounds.min_pace <= found.pace <= bounds.max_pace:
        yield (
            f"{found.language}: a pace of {found.pace:.2f} times an ordinary reader's is outside "
            f"{bounds.min_pace:g} to {bounds.max_pace:g}"
        )
    if found.similarity is not None and found.similarity < bounds.min_similarity:
        yield (
            f"{found.language}: a sentence has another voice: its similarity of {found.similarity:.2f} is below "
            f"{bounds.min_similarity:g}"
        )


def _slow_or_big(
    rtf: float | None, first_sound: float | None, peak_memory: int | None, bounds: Bounds
) -> Iterator[str]:
    """Yield what takes too long, or too much memory."""
    if bounds.max_rtf is not None and rtf is not None and rtf > bounds.max_rtf:
        yield f"the real-time factor {rtf:.2f} is above {bounds.max_rtf:g}"
    if bounds.max_first_sound is not None and first_sound is not None and first_sound > bounds.max_first_sound:
        yield f"the first sound comes after {first_sound:.2f} s, later than {bounds.max_first_sound:g} s"
    if bounds.max_memory is not None:
        if peak_memory is None:
            yield "the memory of the worker is not known on this machine"
        elif peak_memory > bounds.max_memory:
            yield f"the worker held {peak_memory / MIB:.0f} MiB, more than {bounds.max_memory / MIB:.0f} MiB"


def _rtf(takes: Sequence[Take]) -> float | None:
    seconds = sum(take.seconds for take in takes)
    return sum(take.work for take in takes) / seconds if seconds else None
