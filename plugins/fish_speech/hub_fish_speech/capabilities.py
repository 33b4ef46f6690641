"""The backend's name, and its capabilities as declared before a checkpoint is loaded."""

from __future__ import annotations

from hub.contract import Capabilities

BACKEND = "fish_speech"

CAPABILITIES = Capabilities(
    sample_rate=44_100,
    cloning=True,
    prepared_suffices=True,  # the codes and transcripts of the recordings, which is all that a prompt reads
    cross_lingual=True,
    dialogue=True,
    streaming=True,
    live_text=True,
    seed=True,
    sampling=True,
    codec=True,
)
"""A loaded model declares its own sample rate, and `dialogue` only if it is S2."""
