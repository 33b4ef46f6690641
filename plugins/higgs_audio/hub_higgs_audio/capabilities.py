"""The backend's name, its capabilities, and the ids of its presets. Imports nothing heavy, for the hub's process."""

from __future__ import annotations

from hub.contract.backend import Capabilities

BACKEND = "higgs_audio"

CAPABILITIES = Capabilities(
    sample_rate=24_000,
    preset_voices=True,
    cloning=True,
    prepared_suffices=True,  # a voice's prepared state has the codes and the transcript of each recording
    cross_lingual=True,
    scene=True,
    dialogue=True,
    streaming=True,
    seed=True,
    sampling=True,
    codec=True,
)

SMART = "smart"
"""The preset without a voice of its own: the model chooses one that suits the text and the scene."""

PROFILE = "profile:"
"""The prefix of the ids of described voices, as in boson's scripts."""
