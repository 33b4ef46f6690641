"""The backend's name, and the capabilities that it declares before a checkpoint is loaded."""

from __future__ import annotations

from hub.contract.backend import Capabilities

BACKEND = "gpt_sovits"

CAPABILITIES = Capabilities(
    sample_rate=32_000,
    languages=("zh", "en", "ja", "ko", "yue"),
    cloning=True,
    min_reference=3.0,
    max_reference=10.0,
    cross_lingual=True,
    streaming=True,
    speed=True,
    seed=True,
    sampling=True,
)
"""The capabilities of the family. A loaded model declares its own: v3 speaks at 24 kHz and v4 at 48 kHz, both need
transcripts, and v1 reads three languages only."""
# `prepared_suffices` stays False. A prepared state holds the codes, style and mel that one S2 file made of the
# recordings. A request may name another S2 file in `options.sovits`, as requests do after `/set_sovits_weights`; its
# sound has to be made from the recordings themselves.

SPEEDS = (0.5, 2.0)
"""The slowest and the fastest pace. Beyond them frames are stretched so far that words get lost."""
