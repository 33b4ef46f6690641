"""Tokens that arrive while the language model still writes -> audio that leaves before it has ended.

Two schemes: `official` is what CosyVoice's own code does, to the digit; `consistent` joins the same chunks without
seams (docs/compat/cosyvoice.md shows the difference in numbers).
"""

from hub_cosyvoice.streaming.base import WaveStream
from hub_cosyvoice.streaming.consistent import ConsistentV1, ConsistentV2
from hub_cosyvoice.streaming.official import OfficialV1, OfficialV2, OfficialV3

__all__ = ["ConsistentV1", "ConsistentV2", "OfficialV1", "OfficialV2", "OfficialV3", "WaveStream"]
