"""The cosyvoice backend does what the hub asks of every backend, on a tiny checkpoint of each generation."""

from cosyvoice_cases import checkpoint

from hub.testing.conformance import BackendConformance

OPTIONS = {"longest": 1.0}
"""A model with random weights hardly ever ends of itself."""


class CosyVoiceConformance(BackendConformance):
    backend = "cosyvoice"
    plugin = "hub_cosyvoice"
    bad_options = ({"mode": "clone"}, {"streaming": "fast"}, {"text_frontend": "maybe"})


class TestFirstGeneration(CosyVoiceConformance):
    model = {"path": str(checkpoint("v1")), "device": "cpu", "options": OPTIONS}


class TestSecondGeneration(CosyVoiceConformance):
    model = {"path": str(checkpoint("v2")), "device": "cpu", "options": OPTIONS}


class TestThirdGeneration(CosyVoiceConformance):
    model = {"path": str(checkpoint("v3")), "device": "cpu", "options": OPTIONS}
