"""The releases of CosyVoice, for `ttshub pull`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import PurePath

from hub.contract import Checkpoint

LICENCE = "Apache-2.0"

_PARTS = ("llm.pt", "flow.pt", "hift.pt", "campplus.onnx", "spk2info.pt")
_FIRST = ("cosyvoice.yaml", "speech_tokenizer_v1.onnx", *_PARTS)
_TEXT = ("CosyVoice-BlankEN/*.json", "CosyVoice-BlankEN/merges.txt")
"""llm.pt overwrites the weights in that folder, so they are not fetched."""


def _first(name: str, variant: str, description: str) -> Checkpoint:
    return Checkpoint(
        huggingface=f"FunAudioLLM/{name}",
        modelscope=f"iic/{name}",
        files=_FIRST,
        size=2_300_000_000,
        licence=LICENCE,
        description=description,
        model={"options": {"variant": variant}},
    )


CHECKPOINTS = {
    "3": Checkpoint(
        huggingface="FunAudioLLM/Fun-CosyVoice3-0.5B-2512",
        modelscope="FunAudioLLM/Fun-CosyVoice3-0.5B-2512",
        files=("cosyvoice3.yaml", "speech_tokenizer_v3.onnx", "llm.rl.pt", *_PARTS, *_TEXT),
        size=6_500_000_000,
        licence=LICENCE,
        description="Fun-CosyVoice3 0.5B: 9 languages, instructions, pinyin and phones; its RL language model as well",
    ),
    "2": Checkpoint(
        huggingface="FunAudioLLM/CosyVoice2-0.5B",
        modelscope="iic/CosyVoice2-0.5B",
        files=("cosyvoice2.yaml", "speech_tokenizer_v2.onnx", *_PARTS, *_TEXT),
        size=3_100_000_000,
        licence=LICENCE,
        description="CosyVoice2 0.5B: Chinese, English, Japanese, Korean, instructions, sounds such as [laughter]",
    ),
    "300m": _first("CosyVoice-300M", "base", "CosyVoice 300M: clones voices, across languages too"),
    "300m-sft": _first("CosyVoice-300M-SFT", "sft", "CosyVoice 300M with seven preset voices"),
    "300m-instruct": _first("CosyVoice-300M-Instruct", "instruct", "CosyVoice 300M that follows instructions"),
}
"""The releases, the recommended one first."""


def release_named(name: str) -> Checkpoint | None:
    """The release of this repository id, at Hugging Face or ModelScope, or of this key of CHECKPOINTS."""
    for key, checkpoint in CHECKPOINTS.items():
        if name in (key, checkpoint.huggingface, checkpoint.modelscope):
            return checkpoint
    return None


def variant_of(path: str) -> str:
    """The CosyVoice-300M that a path names: `base`, `sft`, `instruct`, or `auto` if the path names none."""
    name = PurePath(path).name.lower()
    for variant in ("sft", "instruct"):
        if variant in name:
            return variant
    return "base" if name in ("300m", "cosyvoice-300m", "cosyvoice-300m-25hz") else "auto"
