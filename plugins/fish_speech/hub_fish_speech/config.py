"""config.json of a checkpoint -> sizes. It is flat (1.4, 1.5, S1, and S2 as its own tools save it) or nested (S2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.nn.weights import CheckpointError
from hub_fish_speech.variants import Name

CONFIG = "config.json"
NESTED = "fish_qwen3_omni"
"""`model_type` of S2."""


@dataclass(frozen=True)
class StackConfig:
    """The sizes of one transformer. `kv_heads` divides `heads`; `ffn` is the inner width of the feed-forward."""

    layers: int
    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    rope_base: float
    eps: float
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False


@dataclass(frozen=True)
class DualARConfig:
    """The sizes of a language model: a slow transformer over frames, a fast one over the codes of a frame."""

    slow: StackConfig
    fast: StackConfig
    vocab_size: int
    codebooks: int
    codebook_size: int
    max_seq_len: int
    tied: bool
    shared_codebook_embeddings: bool
    scales_codebook_embeddings: bool
    fast_reads_normed: bool


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError."""
    try:
        found = json.loads(path.read_bytes())
    except OSError:
        raise CheckpointError(f"the checkpoint file {path.name} is missing", file=path.name) from None
    except ValueError as error:
        raise CheckpointError(f"{path.name} is not JSON: {error}", file=path.name) from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object", file=path.name)
    return found


def read_config(data: dict[str, Any], variant: Name) -> DualARConfig:
    """The sizes that `data`, a checkpoint's config.json, gives. Raises CheckpointError naming a bad key."""
    try:
        config = _nested(data) if "text_config" in data else _flat(data, variant)
        _check(config)
    except KeyError as error:
        raise CheckpointError(f"{CONFIG} lacks {error.args[0]!r}", file=CONFIG, key=str(error.args[0])) from None
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{CONFIG} holds a wrong value: {error}", file=CONFIG) from None
    return config


def _flat(data: dict[str, Any], variant: Name) -> DualARConfig:
    """1.4, 1.5, S1, and S2 as its own tools save it. The code of each reads some keys only, and ignores the others."""
    old = variant in ("v1_4", "v1_5")
    dim, heads = int(data["dim"]), int(data["n_head"])
    slow = StackConfig(
        layers=int(data["n_layer"]),
        dim=dim,
        heads=heads,
        kv_heads=_kv_heads(data.get("n_local_heads"), heads),
        head_dim=dim // heads if old else _head_dim(data, dim // heads),
        ffn=int(data.get("intermediate_size") or default_ffn(dim)),
        rope_base=float(data.get("rope_base", 10000)),
        eps=float(data.get("norm_eps", 1e-5)),
        qkv_bias=bool(data.get("attention_qkv_bias", False)),
        o_bias=not old and bool(data.get("attention_o_bias", False)),
        qk_norm=not old and bool(data.get("attention_qk_norm", False)),
    )
    fast = _fast(data, slow, layers=int(data.get("n_fast_layer", 4)), prefix="fast_", old=old)
    return DualARConfig(
        slow=slow,
        fast=fast,
        vocab_size=int(data["vocab_size"]),
        codebooks=int(data["num_codebooks"]),
        codebook_size=int(data["codebook_size"]),
        max_seq_len=int(data.get("max_seq_len", 2048)),
        tied=bool(data.get("tie_word_embeddings", True)),
        shared_codebook_embeddings=variant == "v1_5" and not data.get("share_codebook_embeddings", True),
        scales_codebook_embeddings=not old and bool(data.get("scale_codebook_embeddings", False)),
        fast_reads_normed=variant == "s2" and bool(data.get("norm_fastlayer_input", False)),
    )


def _nested(data: dict[str, Any]) -> DualARConfig:
    """S2. Sizes that are missing in its audio decoder are those of its text model."""
    text, audio = data["text_config"], data["audio_decoder_config"]
    dim, heads = int(text["dim"]), int(text["n_head"])
    slow = StackConfig(
        layers=int(text["n_layer"]),
        dim=dim,
        heads=heads,
        kv_heads=_kv_heads(text.get("n_local_heads"), heads),
        head_dim=int(text.get("head_dim") or 64),
        ffn=int(text.get("intermediate_size") or default_ffn(dim)),
        rope_base=float(text.get("rope_base") or 10000),
        eps=float(text.get("norm_eps") or 1e-5),
        qkv_bias=bool(text.get("attention_qkv_bias", False)),
        o_bias=bool(text.get("attention_o_bias", False)),
        qk_norm=bool(text.get("attention_qk_norm", False)),
    )
    return DualARConfig(
        slow=slow,
        fast=_fast(audio, slow, layers=int(audio["n_layer"])),
        vocab_size=int(text["vocab_size"]),
        codebooks=int(audio["num_codebooks"]),
        codebook_size=int(audio["vocab_size"]),
        max_seq_len=int(text.get("max_seq_len") or 2048),
        tied=_flag(text.get("tie_word_embeddings"), True),
        shared_codebook_embeddings=False,
        scales_codebook_embeddings=True,
        fast_reads_normed=True,
    )


def _fast(data: dict[str, Any], slow: StackConfig, *, layers: int, prefix: str = "", old: bool = False) -> StackConfig:
    """The fast transformer. A key that is missing, null or 0 takes the slow value; `old` releases ignore some keys."""

    def given(name: str) -> Any:
        return data.get(prefix + name)

    dim, heads = int(given("dim") or slow.dim), int(given("n_head") or slow.heads)
    return StackConfig(
        layers=layers,
        dim=dim,
        heads=heads,
        kv_heads=_kv_heads(given("n_local_heads") or slow.kv_heads, heads),
        head_dim=dim // heads if old else int(given("head_dim") or slow.head_dim),
        ffn=int(given("intermediate_size") or slow.ffn),
        rope_base=slow.rope_base,
        eps=slow.eps,
        qkv_bias=_flag(given("attention_qkv_bias"), slow.qkv_bias),
        o_bias=not old and _flag(given("attention_o_bias"), slow.o_bias),
        qk_norm=not old and _flag(given("attention_qk_norm"), slow.qk_norm),
    )


def _kv_heads(given: Any, heads: int) -> int:
    return heads if given is None or int(given) == -1 else int(given)


def _head_dim(data: dict[str, Any], otherwise: int) -> int:
    """64 where the key is missing, `otherwise` where it is null."""
    width = data.get("head_dim", 64)
    return int(otherwise if width is None else width)


def default_ffn(dim: int) -> int:
    """The inner width of a feed-forward if the configuration has none: two thirds of 4 `dim`, rounded up to 256s."""
    wanted = int(2 * 4 * dim / 3)
    return -(-wanted // 256) * 256


def _flag(given: Any, otherwise: bool) -> bool:
    return otherwise if given is None else bool(given)


def _check(config: DualARConfig) -> None:
    for stack in (config.slow, config.fast):
        sizes = (stack.layers, stack.dim, stack.heads, stack.kv_heads, stack.head_dim, stack.ffn)
        if min(sizes) < 1 or stack.heads % stack.kv_heads or stack.head_dim % 2:
            raise ValueError(f"these sizes do not fit together: {stack}")
    if min(config.vocab_size, config.codebooks, config.codebook_size, config.max_seq_len) < 1:
        raise ValueError("vocabulary, codebooks and max_seq_len must be positive")
