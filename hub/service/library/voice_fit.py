"""The fit of recordings for a model: the reason why it cannot use them, if any."""

from __future__ import annotations

from collections.abc import Sequence

from hub.contract.backend import Capabilities
from hub.contract.voice import Recording


def unfitness(recordings: Sequence[Recording], language: str | None, model: str, can: Capabilities) -> str:
    """The reason why `model` cannot speak as these recordings; "" if it can."""
    if not can.cloning:
        return f"model {model!r} does not clone voices"
    for recording in recordings:
        if can.needs_transcript and not recording.text:
            return f"model {model!r} needs the transcript of each recording; {recording.file} has no transcript"
        if recording.seconds < can.min_reference:
            return (
                f"model {model!r} needs recordings of at least {can.min_reference:g} s; "
                f"{recording.file} is too short: {recording.seconds:.1f} s"
            )
        if can.max_reference and recording.seconds > can.max_reference:
            return (
                f"model {model!r} takes recordings of at most {can.max_reference:g} s; "
                f"{recording.file} is too long: {recording.seconds:.1f} s"
            )
    if language and can.languages and not can.cross_lingual and not speaks(language, can.languages):
        return f"the voice speaks {language}, the wrong language: model {model!r} knows {', '.join(can.languages)}"
    return ""


def speaks(language: str, languages: Sequence[str]) -> bool:
    """True if one of `languages` has the primary subtag of `language`: a model for zh speaks zh-CN."""
    return language.lower().split("-")[0] in {known.lower().split("-")[0] for known in languages}
