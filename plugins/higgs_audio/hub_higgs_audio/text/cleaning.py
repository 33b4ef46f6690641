"""Text that callers wrote, made harmless: nothing in it reads as a control token."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"<\|[^|<>]*\|>")


def without_control(text: str) -> str:
    """`text` without control tokens (`<|...|>`), so that it cannot leave its message.

    Removing one may join its surroundings to another, into which a space is put. `<SE>` and similar tags stay: they ask
    for sounds.
    """
    text = _CONTROL.sub("", text)
    return text.replace("<|", "< |") if _CONTROL.search(text) else text
