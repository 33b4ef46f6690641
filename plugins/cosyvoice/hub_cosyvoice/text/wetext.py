"""wetext, the normaliser that CosyVoice recommends: dates, times, amounts and units in Chinese and English."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from hub.contract.errors import WorkerStartFailed
from hub_cosyvoice.text.normalise import External

log = logging.getLogger("hub_cosyvoice")


class Wetext:
    """wetext's two normalisers. Raises ImportError without the package (`pip install tts-hub-cosyvoice[wetext]`)."""

    def __init__(self) -> None:
        kind: Any = importlib.import_module("wetext").Normalizer
        self._chinese = kind(lang="zh", remove_erhua=False)
        self._other = kind(lang="en")

    def normalise(self, text: str, *, chinese: bool) -> str:
        """`text` in words; unchanged if wetext fails on it."""
        try:
            return str((self._chinese if chinese else self._other).normalize(text))
        except Exception:
            log.warning("wetext failed on a text; the text is spoken without it", exc_info=True)
            return text


def external(wanted: str) -> External | None:
    """The normaliser of the load option `normaliser`: `auto`, `wetext` or `builtin`.

    Raises WorkerStartFailed for `wetext` if it cannot be loaded.
    """
    if wanted == "builtin":
        return None
    try:
        return Wetext()
    except Exception as error:
        if wanted == "wetext":
            raise WorkerStartFailed(
                "the normaliser wetext cannot be loaded; install it with pip install 'tts-hub-cosyvoice[wetext]'"
            ) from error
        return None
