"""The files of a language model -> variant, sizes, tokenizer and network.

The files in a folder show its generation; the folder's name does not count. Weights may be sharded safetensors, one
safetensors file, or `model.pth` (a state dict, or a training checkpoint around one).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from hub.nn.weights import CheckpointError, load_state, load_strict
from hub_fish_speech.checkpoint.weight_names import renamed
from hub_fish_speech.config import CONFIG, NESTED, DualARConfig, read_config, read_json
from hub_fish_speech.model.dual_ar import DualAR
from hub_fish_speech.tokenizer import HF, TIKTOKEN, Tokenizer, load_tokenizer
from hub_fish_speech.variants import S1, S2, V1_4, V1_5, Variant

WEIGHTS = ("model.safetensors.index.json", "model.safetensors", "model.pth")


class LanguageModel(NamedTuple):
    """Everything that turns text into frames, on its device. `positions` limits prompt and speech together."""

    variant: Variant
    config: DualARConfig
    tokenizer: Tokenizer
    model: DualAR
    positions: int


def detect(folder: Path) -> Variant:
    """The generation of the checkpoint in `folder`. Raises CheckpointError."""
    if not folder.is_dir():
        raise CheckpointError("the model's path is not a folder: it must be the folder of a checkpoint", file=CONFIG)
    data = read_json(folder / CONFIG)
    kind = data.get("model_type")
    if kind == NESTED:
        return S2
    if kind != "dual_ar":
        raise CheckpointError(
            f"{CONFIG} describes a model of type {str(kind)[:50]!r}, not dual_ar (1.4, 1.5, S1) or {NESTED} (S2)",
            file=CONFIG,
            key="model_type",
        )
    if not (folder / TIKTOKEN).is_file():
        if not (folder / HF).is_file():
            raise CheckpointError(f"the checkpoint folder has no tokenizer: neither {TIKTOKEN} nor {HF}", file=TIKTOKEN)
        return S2 if "norm_fastlayer_input" in data else V1_4  # a key that only the tools of S2 write
    if (folder / "codec.pth").is_file():
        return S1
    if any(folder.glob("firefly*.pth")):
        return V1_5
    return V1_5 if "share_codebook_embeddings" in data else S1  # a key that S1 dropped


def load_language_model(
    folder: Path, device: torch.device, dtype: torch.dtype, *, max_seq_len: int = 0
) -> LanguageModel:
    """Load the language model in `folder`. `max_seq_len` lowers the checkpoint's own. Raises CheckpointError."""
    variant = detect(folder)
    config = read_config(read_json(folder / CONFIG), variant.name)
    tokenizer = load_tokenizer(folder, variant.name)
    if max(_last_semantic(tokenizer, config), tokenizer.im_end) >= config.vocab_size:
        raise CheckpointError(
            f"the tokenizer has more tokens than {CONFIG} says ({config.vocab_size}): they belong to different models",
            file=CONFIG,
            key="vocab_size",
        )
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"the checkpoint folder has no weights: none of {', '.join(WEIGHTS)}", file=WEIGHTS[-1])
    with torch.device("meta"):
        model = DualAR(config)
    state = renamed(load_state(path), path.name, tied=config.tied)
    load_strict(model, {key: value.to(dtype) for key, value in state.items()}, path.name)
    positions = min(max_seq_len or config.max_seq_len, config.max_seq_len)
    model.prepare(
        device,
        dtype,
        semantic=(tokenizer.semantic_begin, tokenizer.semantic_end),
        positions=positions,
        fast_columns=variant.fast_columns,
        main_tokens=_speech_tokens(tokenizer, config) if variant.repetition_aware else None,
    )
    return LanguageModel(variant, config, tokenizer, model, positions)


def _last_semantic(tokenizer: Tokenizer, config: DualARConfig) -> int:
    """The last token that stands for a code. 1.5 lists 1024 of them, also where the model has fewer codes."""
    return min(tokenizer.semantic_end, tokenizer.semantic_begin + config.codebook_size - 1)


def _speech_tokens(tokenizer: Tokenizer, config: DualARConfig) -> torch.Tensor:
    """The tokens that S2 may draw: audio and the end."""
    audio = range(tokenizer.semantic_begin, min(tokenizer.semantic_end + 1, config.vocab_size))
    return torch.tensor(sorted({tokenizer.im_end, *audio}))
