"""ERes2NetV2 (w24 s4 ep4): fbank features -> the speaker vector of v2Pro. Widths and depths come from the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_gpt_sovits.model.blank import filled

CEILING = 20.0
"""The activation inside blocks is clamped to 0..20."""

UNUSED = ("seg_1.weight", "seg_1.bias")
"""The classifier's layers, which GPT-SoVITS does not use."""


class Fusion(nn.Module):
    """Attentional fusion: x * a + y * (2 - a)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.local_att = nn.Sequential(
            nn.Conv2d(2 * channels, inner, 1),
            nn.BatchNorm2d(inner),
            nn.SiLU(),
            nn.Conv2d(inner, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        share = 1 + self.local_att(torch.cat([x, y], 1)).tanh()
        return x * share + y * (2 - share)


class Block(nn.Module):
    """Res2Net block: each split of the channels passes its output to the next one, by sum or by fusion."""

    def __init__(self, weights: Mapping[str, Tensor], prefix: str, stride: int) -> None:
        super().__init__()

        def shape(name: str) -> torch.Size:
            return weights[prefix + name].shape

        inner, before = shape("conv1.weight")[:2]
        splits = len({name[len(prefix) :].split(".")[1] for name in weights if name.startswith(prefix + "convs.")})
        self.width = shape("convs.0.weight")[0]
        out = shape("conv3.weight")[0]
        self.conv1 = nn.Conv2d(before, inner, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.convs = nn.ModuleList(nn.Conv2d(self.width, self.width, 3, padding=1, bias=False) for _ in range(splits))
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in range(splits))
        self.fuse_models: nn.ModuleList | None = None
        if prefix + "fuse_models.0.local_att.0.weight" in weights:
            narrow = shape("fuse_models.0.local_att.0.weight")[0]
            self.fuse_models = nn.ModuleList(Fusion(self.width, narrow) for _ in range(splits - 1))
        self.conv3 = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if prefix + "shortcut.0.weight" in weights:
            self.shortcut.extend([nn.Conv2d(before, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)])

    def forward(self, x: Tensor) -> Tensor:
        made: list[Tensor] = []
        for number, part in enumerate(_clamped(self.bn1(self.conv1(x))).split(self.width, 1)):
            if made:
                part = self.fuse_models[number - 1](made[-1], part) if self.fuse_models else made[-1] + part
            made.append(_clamped(self.bns[number](self.convs[number](part))))
        return _clamped(self.bn3(self.conv3(torch.cat(made, 1))) + self.shortcut(x))


class SpeakerNet(nn.Module):
    """Fbank (B, T, 80) -> speaker vector (B, channels * bins)."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        stem = weights["conv1.weight"].shape[0]
        self.conv1 = nn.Conv2d(1, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(weights, f"layer{number}.", 1 if number == 1 else 2) for number in (1, 2, 3, 4)
        )
        wide, before = weights["layer3_ds.weight"].shape[:2]
        self.layer3_ds = nn.Conv2d(before, wide, 3, padding=1, stride=2, bias=False)
        self.fuse34 = Fusion(wide, weights["fuse34.local_att.0.weight"].shape[0])

    def forward(self, fbank: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(fbank.transpose(1, 2).unsqueeze(1))))
        third = self.layer3(self.layer2(self.layer1(x)))
        fused = self.fuse34(self.layer4(third), self.layer3_ds(third))
        return fused.flatten(1, 2).mean(-1)


def build_speaker(weights: Mapping[str, Tensor], file: str) -> SpeakerNet:
    """The speaker network from its file's tensors, in eval mode. Raises CheckpointError."""
    return filled(lambda: SpeakerNet(weights), weights, file, ignore=UNUSED)


def _stage(weights: Mapping[str, Tensor], prefix: str, stride: int) -> nn.Sequential:
    count = len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})
    return nn.Sequential(
        *(Block(weights, f"{prefix}{number}.", stride if not number else 1) for number in range(count))
    )


def _clamped(x: Tensor) -> Tensor:
    return F.hardtanh(x, 0.0, CEILING)
