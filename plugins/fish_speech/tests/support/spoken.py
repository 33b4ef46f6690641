"""Speaking with a model in the test's own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from hub_fish_speech.synthesizer import FishSpeech

from hub.contract import AudioChunk, Done, ModelConfig, Reference, ResolvedRequest, Sampling
from plugins.fish_speech.tests.support import tiny

REFERENCE = Reference(audio=tiny.recording(), text="A hum.")
LONG = "The first sentence is this one. The second sentence is another. And here is the last of the three."


class Stop:
    """A caller who leaves after so many questions."""

    def __init__(self, after: int = 10**9) -> None:
        self.left = after

    def is_set(self) -> bool:
        """True once the questions are used up."""
        self.left -= 1
        return self.left < 0


class Spoken(NamedTuple):
    """The events of one request; `report` is None if it was stopped before its end."""

    samples: npt.NDArray[np.float32]
    report: dict[str, Any] | None
    chunks: list[AudioChunk]


def loaded(folder: Path, *, device: str = "cpu", dtype: Any = "float32", **options: Any) -> FishSpeech:
    """A model that has loaded the checkpoint in `folder`."""
    fish = FishSpeech()
    options = {"warm_up": False, **options}
    fish.load(ModelConfig(name="fish", path=str(folder), device=device, dtype=dtype, options=options))
    return fish


def speak(fish: FishSpeech, text: str = "Hello there.", stop: Stop | None = None, **fields: Any) -> Spoken:
    """Speak `text` (or `turns`), by default 30 frames of seed 5."""
    fields = {"seed": 5, "sampling": Sampling(max_new_tokens=30), "text": text, **fields}
    if "turns" in fields:
        del fields["text"]
    events = list(fish.speak(ResolvedRequest(**fields), stop or Stop()))
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    report = events[-1].report if events and isinstance(events[-1], Done) else None
    return Spoken(np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<f4"), report, chunks)
