"""The names of the language model's weights: the spellings of all generations -> those of DualAR."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hub.nn.weights import CheckpointError

_BUFFERS = ("freqs_cis", "causal_mask", "k_cache", "v_cache")
"""Suffixes of tables in training checkpoints; the plugin computes them itself."""

_S2_NAMES = (
    ("text_model.model.", ""),
    ("audio_decoder.codebook_embeddings.", "codebook_embeddings."),
    ("audio_decoder.", "fast_"),
)


def renamed(state: Mapping[str, Tensor], file: str, *, tied: bool) -> dict[str, Tensor]:
    """`state` under DualAR's names. Raises CheckpointError for adapters and for four-bit weights."""
    found = dict(state)
    if next(iter(found), "").startswith("model."):
        found = {key.removeprefix("model."): value for key, value in found.items()}
    if any(key.startswith("text_model.") for key in found):
        found = {_s2_name(key): value for key, value in found.items()}
    else:
        found = {key: value for key, value in found.items() if "audio_" not in key}  # encoders of sound, never released
    found = {key: value for key, value in found.items() if not key.endswith(_BUFFERS)}
    if tied:
        found.pop("output.weight", None)
    if adapter := next((key for key in found if "lora_" in key), None):
        raise CheckpointError(
            f"{file} holds an adapter ({adapter}), not a model: merge it first", file=file, key=adapter
        )
    return _joined(_widened(found, file))


def _s2_name(key: str) -> str:
    for old, new in _S2_NAMES:
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def _widened(state: dict[str, Tensor], file: str) -> dict[str, Tensor]:
    """Eight-bit weights (one scale a row) as the numbers that they stand for."""
    if packed := next((key for key in state if key.endswith(".scales_and_zeros")), None):
        raise CheckpointError(
            f"{file} has four-bit weights, packed for one kind of GPU; use the release itself, or an int8 one",
            file=file,
            key=packed,
        )
    wide: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith(".scales"):
            continue
        scales = state.get(key.removesuffix(".weight") + ".scales")
        if scales is not None and value.dtype == torch.int8:
            value = (value.float() * scales.float()[:, None]).to(scales.dtype)
        wide[key] = value
    return wide


def _joined(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`wq`, `wk`, `wv` as one `wqkv`."""
    joined: dict[str, Tensor] = {}
    for key, value in state.items():
        stem, kind = key.rpartition(".")[::2]
        if stem.endswith((".wk", ".wv")) and f"{stem[:-1]}q.{kind}" in state:
            continue
        if stem.endswith(".wq") and all(f"{stem[:-1]}{part}.{kind}" in state for part in "kv"):
            parts = [state[f"{stem[:-1]}{part}.{kind}"] for part in "qkv"]
            joined[f"{stem}kv.{kind}"] = torch.cat(parts)
        else:
            joined[key] = value
    return joined
