"""The words of the two dialects: languages, media types, ways to cut a text and to stream."""

from __future__ import annotations

from typing import Literal

from hub.contract.speech import AudioFormat
from hub_gpt_sovits.routes.answers import Refused

LANGUAGES = ("auto", "auto_yue", "en", "zh", "ja", "yue", "ko", "all_zh", "all_ja", "all_yue", "all_ko")

CHINESE_NAMES = {
    "中文": "all_zh", "英文": "en", "日文": "all_ja", "粤语": "all_yue", "韩文": "all_ko", "中英混合": "zh",
    "日英混合": "ja", "粤英混合": "yue", "韩英混合": "ko", "多语种混合": "auto", "多语种混合(粤语)": "auto_yue",
}  # fmt: skip
"""The v1 dialect's names of languages; it takes the short ones too."""

CONTAINERS = {
    "wav": AudioFormat(container="wav"),
    "raw": AudioFormat(container="pcm"),
    "ogg": AudioFormat(container="vorbis"),
    "aac": AudioFormat(container="aac"),
}
"""`media_type` -> the hub's format."""

CUT_METHODS = ("cut0", "cut1", "cut2", "cut3", "cut4", "cut5")
CUT_PUNCTUATION = frozenset(",.;?!、，。？！；：…")
"""Punctuation that the v1 dialect's `cut_punc` may name."""

Streaming = Literal[0, 1, 2, 3]

_STREAMING: dict[str, Streaming] = {"0": 0, "1": 1, "2": 2, "3": 3, "true": 1, "ture": 1, "on": 1, "yes": 1, "": 0}
_STREAMING |= {"false": 0, "off": 0, "no": 0, "none": 0}


def language_of(value: str) -> str | None:
    """A language as either dialect writes it, in the short form; None for anything else."""
    value = value.strip()
    short = CHINESE_NAMES.get(value, value.lower())
    return short if short in LANGUAGES else None


def streaming_of(value: str | float | bool) -> Streaming:
    """`streaming_mode`, however clients write it (`ture` is one client's spelling). Raises Refused."""
    if isinstance(value, bool):
        return 1 if value else 0
    found = _STREAMING.get(f"{value:g}" if isinstance(value, float) else str(value).strip().lower())
    if found is None:
        raise Refused("the value of streaming_mode must be 0, 1, 2, 3(int) or true/false(bool)")
    return found


def cut_at(text: str, punctuation: str) -> str:
    """`text` with a line break after each character of `punctuation` that the dialect knows."""
    wanted = CUT_PUNCTUATION & set(punctuation)
    return "".join(character + "\n" if character in wanted else character for character in text)
