"""The ways to prompt the models, and the choice of one for a request.

| mode | ids before the text | prompt speech | speaker of the first generation |
|---|---|---|---|
| sft | none | none | the preset's |
| zero_shot | the transcript | the recording's | the recording's |
| cross_lingual | none | none | the recording's |
| instruct (first generation) | the instruction | none | none, on purpose |
| instruct2 (second and third) | the instruction | none | these take none |

The flow always gets the recording, if there is one, and the speaker's embedding.
"""

from __future__ import annotations

from hub.contract.errors import InvalidRequest, UnsupportedCapability
from hub_cosyvoice.config import Generation
from hub_cosyvoice.options import Mode
from hub_cosyvoice.text.normalise import is_chinese
from hub_cosyvoice.tokenizer.tags import END_OF_PROMPT
from hub_cosyvoice.tokenizer.whisper import SPOKEN
from hub_cosyvoice.voices import Speaker

MODES: dict[Generation, tuple[Mode, ...]] = {
    1: ("sft", "zero_shot", "cross_lingual", "instruct"),
    2: ("sft", "zero_shot", "cross_lingual", "instruct2"),
    3: ("sft", "zero_shot", "cross_lingual", "instruct2"),
}


def choose_mode(
    generation: Generation, speaker: Speaker, *, forced: Mode | None, instruct: str | None, language: str | None
) -> Mode:
    """The mode of a request: the forced one if it is possible, else the one that follows from the request.

    An instruction makes it instruct or instruct2; a preset without a recording sft; a transcribed recording in the
    language of the text zero_shot; any other recording cross_lingual. Raises UnsupportedCapability for a mode that the
    generation does not have, InvalidRequest for one whose needs are not met.
    """
    instructed: Mode = "instruct" if generation == 1 else "instruct2"
    if forced is None:
        if instruct is not None:
            return instructed
        if not speaker.recorded:
            return "sft"
        foreign = language and speaker.language and _primary(language) != _primary(speaker.language)
        return "zero_shot" if speaker.transcribed and not foreign else "cross_lingual"
    if forced not in MODES[generation]:
        raise UnsupportedCapability(
            f"a model of generation {generation} has no mode {forced!r}; it has {', '.join(MODES[generation])}",
            capability=forced,
        )
    if forced == instructed and instruct is None:
        raise InvalidRequest(f"the mode {forced!r} needs an instruction: give `instruct`", field="instruct")
    if forced != instructed and instruct is not None:
        raise InvalidRequest(
            f"the mode {forced!r} takes no instruction: leave `instruct` out, or choose {instructed!r}",
            field="instruct",
        )
    if forced in ("zero_shot", "cross_lingual", "instruct2") and not speaker.recorded:
        raise InvalidRequest(f"the mode {forced!r} needs a recording: give `references`, or a voice that has one")
    if forced == "zero_shot" and not speaker.transcribed:
        raise InvalidRequest(
            "the mode 'zero_shot' needs the transcript of the recording; without one choose 'cross_lingual'"
        )
    return forced


def split_text(generation: Generation, text: str) -> tuple[str | None, str, str]:
    """Split off the caller's own markers: (the third generation's preamble or None, a language tag or "", the text)."""
    if generation == 3 and END_OF_PROMPT in text:
        preamble, rest = text.split(END_OF_PROMPT, 1)
        return preamble, "", rest
    if generation == 1:
        for language in SPOKEN:
            if text.lstrip().startswith(tag := f"<|{language}|>"):
                return None, tag, text.lstrip().removeprefix(tag)
    return None, "", text


def language_tag(language: str | None, text: str) -> str:
    """The first generation's tag of `language`, or else of the writing system of `text`."""
    if language:
        primary = _primary(language)
        if primary == "zh" and language.lower() in ("zh-hk", "zh-yue"):
            primary = "yue"
        if primary in SPOKEN:
            return f"<|{primary}|>"
    if any("\u3040" <= char <= "\u30ff" for char in text):
        return "<|ja|>"
    if any("\uac00" <= char <= "\ud7af" for char in text):
        return "<|ko|>"
    return "<|zh|>" if is_chinese(text) else "<|en|>"


def _primary(language: str) -> str:
    return language.lower().split("-")[0]
