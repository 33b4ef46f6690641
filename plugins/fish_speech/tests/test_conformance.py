"""The fish_speech backend does what the hub asks of every backend, on a tiny checkpoint of S1 and of S2."""

from typing import Any

import pytest

from hub.contract import Reference, Sampling, SpeechRequest
from hub.testing.conformance import BackendConformance
from hub.testing.odd_texts import ODD_TEXTS
from plugins.fish_speech.tests.support import tiny as fish_tiny


class FishConformance(BackendConformance):
    backend = "fish_speech"
    plugin = "hub_fish_speech"
    reference = Reference(audio=fish_tiny.recording(), text="A hum, all through.")
    options = {"first_chunk": 5, "largest_chunk": 20}
    bad_options = ({"chunk_length": 0}, {"first_chunk": "soon"}, {"seeded_voice": 3})

    def request(self, text: str | None = None, **fields: Any) -> SpeechRequest:
        """Of 40 frames a segment: random weights know no end."""
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
    def checkpoint(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.model = {"path": str(fish_tiny.make_s1(tmp_path_factory.mktemp("s1"))), "device": "cpu"}


class TestFishS2(FishConformance):
    odd_texts = ODD_TEXTS[::8]  # the way through the worker is the same for both; S1 speaks all of them

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def checkpoint(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.model = {"path": str(fish_tiny.make_s2(tmp_path_factory.mktemp("s2"))), "device": "cpu"}
