"""Cleaning, as 1.x was used with it."""

from __future__ import annotations

import re

from hub_fish_speech.variants import Variant

_EMOJI = re.compile("[\U0001f600-\U0001f64f\U0001f300-\U0001f5ff\U0001f680-\U0001f6ff\U0001f1e0-\U0001f1ff]+")
_QUOTES = str.maketrans({"‘": "'", "’": "'"})
_SYMBOLS_V1_4 = str.maketrans(
    {
        **dict.fromkeys("\n【】[]（）()・·—～~", ""),
        **dict.fromkeys("：；;:", ","),
        **dict.fromkeys("“”‘’「」《》", "'"),
        "…": ".",
    }
)


def clean_text(text: str, variant: Variant) -> str:
    """`text` as 1.x reads it: plain quotes, no emoji, no repeated commas; for 1.4 also no brackets and dashes."""
    text = text.strip()
    if variant.name == "v1_4":
        text = _EMOJI.sub("", text.translate(_SYMBOLS_V1_4))
        return re.sub(r"([.,])[.,]+", r"\1", text)
    return re.sub(r",{2,}", ",", _EMOJI.sub("", text.translate(_QUOTES)))
