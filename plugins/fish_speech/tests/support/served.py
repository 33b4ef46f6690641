"""A tiny S1 for tests that serve it: its frames are as long as the releases', so that what nobody bounds ends soon."""

from pathlib import Path
from unittest.mock import patch

from plugins.fish_speech.tests.support import codecs as fish_codecs
from plugins.fish_speech.tests.support import tiny as fish_tiny

FRAME = 2048
"""Samples."""


def make_checkpoint(folder: Path) -> Path:
    """Returns `folder`."""
    fish_tiny.make_s1(folder)
    sizes = {**fish_codecs.dac(), "encoder_rates": [16, 32], "decoder_rates": [32, 16]}
    with patch.dict(fish_codecs.CODECS, {"dac": sizes}):
        fish_codecs.build("dac", folder / "scratch").write(folder)
    return folder
