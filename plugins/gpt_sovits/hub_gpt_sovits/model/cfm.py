"""S2 of v3 and v4: semantic tokens, phones and style -> conditioning features -> mel frames, by flow matching."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.weights import fold_weight_norm, without_prefix
from hub_gpt_sovits.checkpoint import S2File
from hub_gpt_sovits.model.blank import filled
from hub_gpt_sovits.model.dit import MEL, DiT
from hub_gpt_sovits.model.prior import paced
from hub_gpt_sovits.model.relative import length_mask
from hub_gpt_sovits.model.vits import Semantic
from hub_gpt_sovits.model.wavenet import FeatureEncoder

FEATURE_LAYERS = 8

UNUSED = ("enc_q.", "dec.", "flow.")
"""Parts of VITS, from which v3 was developed. A file may still contain them."""

STRETCH = {"v3": 1.875, "v4": 2.0}
"""Feature frames for each 50 Hz encoder frame: 93.75 and 100 a second."""

MASK_RATE = {"v3": 3.875, "v4": 4.0}
"""Valid frames for each token. For v3 that is more than there are; at another speed there can be one less."""


class Cfm(Semantic):
    """v3 and v4. The mel frames come from `cfm.estimator` (see `dit.sample_mel`), the sound from a vocoder."""

    def __init__(self, file: S2File) -> None:
        super().__init__(file.weights, file.config)
        self.version = file.version
        bridge = file.weights["bridge.0.weight"]
        width = bridge.shape[0]
        self.bridge = nn.Sequential(nn.Conv1d(bridge.shape[1], width, 1), nn.LeakyReLU())
        self.wns1 = FeatureEncoder(width, width, width, FEATURE_LAYERS, file.weights["ref_enc.fc.fc.weight"].shape[0])
        self.linear_mel = nn.Conv1d(width, MEL, 1)
        self.cfm = nn.ModuleDict({"estimator": DiT(without_prefix(file.weights, "cfm.estimator."))})

    @property
    def dit(self) -> DiT:
        """The flow's network."""
        return self.cfm["estimator"]  # type: ignore[return-value]

    def style(self, spec: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Spectrogram (1, bins, T) -> style (1, gin, 1)."""
        return self.ref_enc(spec)

    def features(self, codes: Tensor, phones: Tensor, style: Tensor, speed: float = 1.0) -> Tensor:
        """Codes (1, T), phones (1, N), style -> features (1, C, frames) at 93.75 (v3) or 100 (v4) a second."""
        x = self.bridge(paced(self.frames(codes, self.enc_p.read(phones), style), speed))
        x = F.interpolate(x, scale_factor=STRETCH[self.version], mode="nearest")
        valid = int(codes.shape[-1] * MASK_RATE[self.version])
        if speed != 1:
            valid = int(codes.shape[-1] * MASK_RATE[self.version] / speed) + 1
        mask = None
        if valid < x.shape[-1]:
            mask = length_mask(torch.tensor([valid], device=x.device), x.shape[-1], x.dtype)
        return self.wns1(x, mask, style)


def build_cfm(file: S2File) -> Cfm:
    """The network of a whole S2 file of v3 or v4, in eval mode. Raises CheckpointError."""
    state = {name: value for name, value in file.weights.items() if not name.startswith(UNUSED)}
    return filled(lambda: Cfm(file), fold_weight_norm(state), file.name)
