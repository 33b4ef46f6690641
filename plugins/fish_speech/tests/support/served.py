"""A tiny S1 for tests that serve it: its frames are as long as the releases', so that unlimited speech ends soon."""

from pathlib import Path

from plugins.fish_speech.tests.support import codecs, tiny

FRAME = 2048
"""Samples."""


def make_checkpoint(folder: Path) -> Path:
    """Write it into `folder`; returns `folder`."""
    sizes = {**codecs.dac(), "encoder_rates": [16, 32], "decoder_rates": [32, 16]}
    return tiny.make_s1(folder, codec=sizes)
