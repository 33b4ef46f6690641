"""The cosyvoice backend does what the hub asks of every backend, on a tiny checkpoint of each generation.

The odd texts are dealt out among the generations, which share what reads them.
"""

from hub.testing.conformance import BackendConformance
from hub.testing.odd_texts import ODD_TEXTS
from plugins.cosyvoice.tests.support.cases import checkpoint

OPTIONS = {"longest": 0.6}
"""A model with random weights hardly ever ends of itself."""


class CosyVoiceConformance(BackendConformance):
    backend = "cosyvoice"
    plugin = "hub_cosyvoice"
    long_text = " ".join([BackendConformance.long_text] * 3)  # several segments, each as long as OPTIONS let it be
    bad_options = ({"mode": "clone"}, {"streaming": "fast"}, {"text_frontend": "maybe"})


class TestFirstGeneration(CosyVoiceConformance):
    model = {"path": str(checkpoint("v1")), "device": "cpu", "options": OPTIONS}
    odd_texts = ODD_TEXTS[0::3]


class TestSecondGeneration(CosyVoiceConformance):
    model = {"path": str(checkpoint("v2")), "device": "cpu", "options": OPTIONS}
    odd_texts = ODD_TEXTS[1::3]


class TestThirdGeneration(CosyVoiceConformance):
    model = {"path": str(checkpoint("v3")), "device": "cpu", "options": OPTIONS}
    odd_texts = ODD_TEXTS[2::3]
