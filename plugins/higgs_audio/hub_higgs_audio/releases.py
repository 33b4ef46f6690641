"""The published checkpoints, for `ttshub pull`."""

from __future__ import annotations

from hub.contract.backend import Checkpoint

LICENCE = "Boson Higgs Audio 2 Community License"

CODEC = Checkpoint(
    huggingface="bosonai/higgs-audio-v2-tokenizer",
    revision="9d4988fbd4ad07b4cac3a5fa462741a41810dbec",
    files=("config.json", "model.pth"),
    licence=LICENCE,
)

CHECKPOINTS = {
    "v2": Checkpoint(
        huggingface="bosonai/higgs-audio-v2-generation-3B-base",
        revision="10840182ca4ad5d9d9113b60b9bb3c1ef1ba3f84",
        files=("*.json", "*.safetensors"),
        size=12_300_000_000,
        licence=LICENCE,
        description="3B base and its codec, at the revisions from before both repositories were overwritten",
        parts={"codec": CODEC},
    ),
}
