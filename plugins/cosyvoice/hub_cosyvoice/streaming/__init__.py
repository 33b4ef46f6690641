"""Audio that leaves while the language model still writes tokens.

Two schemes: `official` computes exactly what CosyVoice's own code does; `consistent` joins the same chunks without
seams (docs/compat/cosyvoice.md shows the difference in numbers).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hub_cosyvoice.draws import Draws
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.flow.flow import FlowV1
from hub_cosyvoice.options import Scheme
from hub_cosyvoice.streaming.base import WaveStream
from hub_cosyvoice.streaming.consistent import ConsistentV1, ConsistentV2
from hub_cosyvoice.streaming.official import OfficialV1, OfficialV2, OfficialV3
from hub_cosyvoice.wave import TokenToWave


def start_stream(
    wave: TokenToWave,
    prompt: AcousticPrompt,
    *,
    generator: torch.Generator,
    scheme: Scheme = "consistent",
    speed: float = 1.0,
    draws: Sequence[Draws] | None = None,
) -> WaveStream:
    """A new stream. ValueError for the official scheme with a `speed`, which it does not have.

    `draws` are given ones for the calls of the official scheme (tests).
    """
    flow, given = wave.flow, wave.flow_prompt(prompt)
    if scheme == "consistent":
        if isinstance(flow, FlowV1):
            return ConsistentV1(wave, flow, given, generator, speed)
        return ConsistentV2(wave, flow, given, generator, speed)
    if speed != 1.0:
        raise ValueError("the official streaming scheme has no speed")
    if isinstance(flow, FlowV1):
        return OfficialV1(wave, flow, given, generator, draws)
    return (OfficialV3 if wave.vocoder.causal else OfficialV2)(wave, flow, given, generator, draws)
