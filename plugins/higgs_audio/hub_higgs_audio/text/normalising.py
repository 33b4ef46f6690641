"""boson's text normalisation, with its tags for sounds, and the tags that name speakers."""

from __future__ import annotations

import re

from hub.text.speakable import clean
from hub_higgs_audio.text.cleaning import without_control

SPEAKER = re.compile(r"\[(SPEAKER\d+)\]")
"""The tag before the words of a speaker."""

_PUNCTUATION = str.maketrans(
    {
        **dict(zip("。：；？！（）【】《》", ".:;?!()[]<>", strict=True)),
        **dict.fromkeys("“”「」『』", '"'),
        **dict.fromkeys("‘’", "'"),
        "，": ", ",
        "、": ",",
        "—": "-",
        "…": "...",
        "·": ".",
    }
)
_SOUNDS = {"laugh": "Laughter", "music": "Music", "applause": "Applause", "cheering": "Cheering", "cough": "Cough"}
_SPANS = {"humming": "Humming", "music": "Music", "sing": "Singing"}
_TAGS = {
    **{f"[{tag}]": f"<SE>[{sound}]</SE>" for tag, sound in _SOUNDS.items()},
    **{f"[{tag} start]": f"<SE_s>[{sound}]</SE_s>" for tag, sound in _SPANS.items()},
    **{f"[{tag} end]": f"<SE_e>[{sound}]</SE_e>" for tag, sound in _SPANS.items()},
}
"""A sound as callers write it -> as the model was trained on it."""

_REPLACED = {"(": " ", ")": " ", "°F": " degrees Fahrenheit", "°C": " degrees Celsius", **_TAGS}
_ENDS = (".", "!", "?", ",", ";", '"', "'", "</SE_e>", "</SE>")


def normalise(text: str) -> str:
    """`text` as the model expects it: ASCII punctuation, sound tags, single spaces, no blank lines, a final mark.

    Control tokens are removed. The result is "" if nothing is left.
    """
    text = without_control(clean(text)).translate(_PUNCTUATION)
    for written, wanted in _REPLACED.items():
        text = text.replace(written, wanted)
    text = "\n".join(" ".join(line.split()) for line in text.split("\n") if line.strip()).strip()
    text = without_control(text)  # translating the punctuation can make new ones: 《|...|》
    return text if not text or text.endswith(_ENDS) else text + "."


def speaker_tags(text: str) -> list[str]:
    """The speakers that a raw text names, each once, sorted as strings (SPEAKER10 before SPEAKER2)."""
    return sorted(set(SPEAKER.findall(text)))
