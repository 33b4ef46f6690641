"""The listener: Whisper, by the package faster-whisper (the extra `tts-hub[verify]`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soxr

from hub.verify.sound import Samples

RATE = 16_000

LONGEST_ANSWER = 128
"""Tokens. Whisper may repeat itself without end where it hears no speech."""

PROMPTS = {"zh": "以下是普通话的句子，用简体字写。"}
"""Beginnings that make Whisper write as the sentences are written: simplified characters."""


class CannotListen(Exception):
    """There is no Whisper of this name or at this path, or it cannot be used; the message says why."""


class Listener:
    """Hears what is said. Calls block, and change the number of OpenMP threads of the calling thread."""

    def __init__(self, whisper: str) -> None:
        """Load `whisper`: a folder in CTranslate2's layout, a size such as `small`, or a repository of Hugging Face.

        Raises ModuleNotFoundError if faster-whisper is not installed, and CannotListen.
        """
        from faster_whisper import WhisperModel

        if Path(whisper).exists() and not (Path(whisper) / "model.bin").is_file():
            raise CannotListen(f"{whisper} is no folder of a Whisper in CTranslate2's layout: it has no model.bin")
        try:
            self._model: Any = WhisperModel(whisper, device="cpu", compute_type="int8")
        except Exception as error:  # what it raises depends on the network and on the files
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CannotListen(f"cannot load Whisper {whisper!r}: {reason}") from error

    @property
    def english_only(self) -> bool:
        """True if it was trained on English alone."""
        return not self._model.model.is_multilingual

    def hear(self, samples: Samples, sample_rate: int, language: str) -> str:
        """Return what is said in (N,) samples, as Whisper writes it; the same for the same samples."""
        wave = soxr.resample(np.asarray(samples, np.float32), sample_rate, RATE)
        segments, _ = self._model.transcribe(
            wave,
            language=language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=PROMPTS.get(language),
            max_new_tokens=LONGEST_ANSWER,
        )
        return " ".join(segment.text.strip() for segment in segments)
