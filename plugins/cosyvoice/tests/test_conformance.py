"""The cosyvoice backend passes the conformance tests, on a tiny checkpoint of each generation.

The generations share the code that reads texts, so each gets a third of the odd texts.
"""

import pytest

from hub.testing.conformance import BackendConformance
from hub.testing.odd_texts import ODD_TEXTS


class CosyVoiceConformance(BackendConformance):
    backend = "cosyvoice"
    plugin = "hub_cosyvoice"
    long_text = " ".join([BackendConformance.long_text] * 3)  # several segments, each as long as `longest` allows
    bad_options = ({"mode": "clone"}, {"streaming": "fast"}, {"text_frontend": "maybe"})
    generation = ""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def tiny_model(cls, checkpoint):
        """A model with random weights hardly ever ends of itself."""
        cls.model = {"path": str(checkpoint(cls.generation)), "device": "cpu", "options": {"longest": 0.6}}


class TestFirstGeneration(CosyVoiceConformance):
    generation = "v1"
    odd_texts = ODD_TEXTS[0::3]


class TestSecondGeneration(CosyVoiceConformance):
    generation = "v2"
    odd_texts = ODD_TEXTS[1::3]


class TestThirdGeneration(CosyVoiceConformance):
    generation = "v3"
    odd_texts = ODD_TEXTS[2::3]
