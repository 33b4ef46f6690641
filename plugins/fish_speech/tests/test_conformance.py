"""The conformance tests of the hub, on a tiny checkpoint of S1 and of S2."""

from pathlib import Path
from typing import Any

import pytest

from hub.contract import Reference, Sampling, SpeechRequest
from hub.testing.conformance import BackendConformance
from hub.testing.odd_texts import ODD_TEXTS
from plugins.fish_speech.tests.support import tiny


class FishConformance(BackendConformance):
    backend = "fish_speech"
    plugin = "hub_fish_speech"
    reference = Reference(audio=tiny.recording(), text="A hum, all through.")
    options = {"first_chunk": 5, "largest_chunk": 20}
    bad_options = ({"chunk_length": 0}, {"first_chunk": "soon"}, {"seeded_voice": 3})

    def request(self, text: str | None = None, **fields: Any) -> SpeechRequest:
        """A request of 40 frames a segment: random weights do not find an end."""
        sampling = fields.pop("sampling", Sampling())
        return super().request(
            text,
            sampling=Sampling(
                temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p, max_new_tokens=40
            ),
            **fields,
        )


class TestFishS1(FishConformance):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def checkpoint(cls, s1_folder: Path) -> None:
        cls.model = {"path": str(s1_folder), "device": "cpu"}


class TestFishS2(FishConformance):
    odd_texts = ODD_TEXTS[::8]  # both go the same way through the worker, and S1 speaks all of them

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def checkpoint(cls, s2_folder: Path) -> None:
        cls.model = {"path": str(s2_folder), "device": "cpu"}
