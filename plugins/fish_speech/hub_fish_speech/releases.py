"""The published checkpoints, for `ttshub pull`."""

from __future__ import annotations

from hub.contract import Checkpoint

LICENCE = "weights: CC-BY-NC-SA-4.0 (1.4, 1.5, S1 mini); Fish Audio Research License (S2 Pro)"
"""The licences of the released weights."""

_NON_COMMERCIAL = "CC-BY-NC-SA-4.0 (no commercial use)"
_RESEARCH = "Fish Audio Research License (no commercial use without a licence of Fish Audio)"

CHECKPOINTS = {
    "s1-mini": Checkpoint(
        huggingface="fishaudio/openaudio-s1-mini",
        files=("config.json", "model.pth", "codec.pth", "tokenizer.tiktoken", "special_tokens.json"),
        size=3_600_000_000,
        licence=_NON_COMMERCIAL,
        description="OpenAudio S1 mini, 0.5B: 13 languages, emotions in parentheses",
    ),
    "s2-pro": Checkpoint(
        huggingface="fishaudio/s2-pro",
        files=("*.json", "*.safetensors", "codec.pth"),
        size=11_000_000_000,
        licence=_RESEARCH,
        description="S2 Pro, 4B: 80 languages, [tags] anywhere, dialogues of several speakers",
    ),
    "1.5": Checkpoint(
        huggingface="fishaudio/fish-speech-1.5",
        files=("config.json", "model.pth", "firefly-gan-*.pth", "tokenizer.tiktoken", "special_tokens.json"),
        size=1_500_000_000,
        licence=_NON_COMMERCIAL,
        description="Fish Speech 1.5, 0.5B: 13 languages",
    ),
    "1.4": Checkpoint(
        huggingface="fishaudio/fish-speech-1.4",
        files=("config.json", "model.pth", "firefly-gan-*.pth", "tokenizer*.json", "special_tokens_map.json"),
        size=1_200_000_000,
        licence=_NON_COMMERCIAL,
        description="Fish Speech 1.4, 0.5B: 8 languages",
    ),
}
"""Variant -> checkpoint, the recommended one first."""
