"""GPT-SoVITS weight files -> tensors and configuration. A file's kind and version come from its contents.

Layouts are those of RVC-Boss/GPT-SoVITS: S1 `.ckpt` and S2 `.pth` are `torch.save` dicts `weight`, `config`, `info`.
Newer S2 files have a two-byte code in place of the zip's "PK"; fine-tuned ones pickle `config` as `utils.HParams`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from hub.nn.weights import CheckpointError, fold_weight_norm, load_torch, tensors_of, without_prefix

Version = Literal["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]

HEADS: dict[bytes, Version] = {
    b"00": "v1",
    b"01": "v2",
    b"02": "v3",
    b"03": "v3",
    b"04": "v4",
    b"05": "v2Pro",
    b"06": "v2ProPlus",
}
"""Version by the first two bytes of a file, where they are not "PK"."""

PRETRAINED: dict[str, Version] = {
    "dc3c97e17592963677a4a1681f30c653": "v1",
    "6642b37f3dbb1f76882b69937c95a5f3": "v2",
    "43797be674a37c1c83ee81081941ed0f": "v3",
    "4f26b9476d0c5033e04162c486074374": "v4",
    "c7e9fce2223f3db685cdfa1e6368728a": "v2Pro",
    "66b313e39455b57ab1b0bc0b239c9d0a": "v2ProPlus",
}
"""MD5 of the first 8192 bytes of the released base models."""

V1_SYMBOLS = 322
"""Rows of `enc_p.text_embedding.weight` in v1; every later version has more."""

PLUS_CHANNELS = 768
"""`upsample_initial_channel` of v2ProPlus; v2Pro has 512."""

LORA_PREFIX = "cfm.base_model.model."


class HParams:
    """Stands in for the class `utils.HParams` of fine-tuned files: an object with attributes, nothing more."""


@dataclass(frozen=True)
class S1File:
    """A semantic model: float32 weights by name (without `model.`), and its configuration."""

    weights: dict[str, Tensor]
    config: dict[str, Any]
    info: str
    name: str


@dataclass(frozen=True)
class S2File:
    """An acoustic model: float32 weights by name, its configuration and version.

    `symbols` names the phone table that it was trained with; `rank` is the LoRA rank, 0 for a whole model.
    """

    weights: dict[str, Tensor]
    config: dict[str, Any]
    version: Version
    info: str
    name: str
    rank: int = 0

    @property
    def symbols(self) -> Literal["v1", "v2"]:
        """The table of phones: "v1" has 322 entries, "v2" 732."""
        return "v1" if self.version == "v1" else "v2"


def load_s1(path: Path) -> S1File:
    """Read a semantic model (`.ckpt`). Raises CheckpointError, for an S2 file too."""
    loaded = _read(path)
    weights = without_prefix(_weights(loaded, path), "model.")
    config = plain(loaded.get("config"))
    if "ar_predict_layer.weight" not in weights or not isinstance(config.get("model"), dict):
        raise CheckpointError(f"{path.name} is not a GPT-SoVITS semantic model (S1)", file=path.name)
    return S1File(weights, config, str(loaded.get("info", "")), path.name)


def load_s2(path: Path) -> S2File:
    """Read an acoustic model (`.pth`), a LoRA file included. Raises CheckpointError, for an S1 file too."""
    loaded = _read(path)
    weights = _weights(loaded, path)
    config = plain(loaded.get("config"))
    if not isinstance(config.get("model"), dict) or not isinstance(config.get("data"), dict):
        raise CheckpointError(f"{path.name} is not a GPT-SoVITS acoustic model (S2): it has no config", file=path.name)
    is_lora = any(name.startswith(LORA_PREFIX) for name in weights)
    if not is_lora and "enc_p.text_embedding.weight" not in weights:
        raise CheckpointError(f"{path.name} is not a GPT-SoVITS acoustic model (S2)", file=path.name)
    rank = int(loaded.get("lora_rank") or 0)
    if is_lora and not rank:
        rank = next(value.shape[0] for name, value in weights.items() if ".lora_A." in name)
    with path.open("rb") as opened:
        start = opened.read(8192)
    version = detect(weights, config, start)
    return S2File(weights, config, version, str(loaded.get("info", "")), path.name, rank if is_lora else 0)


def detect(weights: Mapping[str, Tensor], config: Mapping[str, Any], start: bytes = b"") -> Version:
    """The version of an S2 file: its weights' names and shapes give the generation; digest, head and config the rest.

    `start` is the first 8192 bytes of the file.
    """
    named = str(config["model"].get("version", ""))
    head = HEADS.get(start[:2])
    known = PRETRAINED.get(hashlib.md5(start, usedforsecurity=False).hexdigest())
    if any(name.startswith("cfm.") for name in weights):
        for said in (known, head, named):
            if said in ("v3", "v4"):
                return said  # type: ignore[return-value]
        return "v3"
    if "sv_emb.weight" in weights:
        for said in (known, head, named):
            if said in ("v2Pro", "v2ProPlus"):
                return said  # type: ignore[return-value]
        return "v2ProPlus" if config["model"].get("upsample_initial_channel") == PLUS_CHANNELS else "v2Pro"
    return "v1" if weights["enc_p.text_embedding.weight"].shape[0] == V1_SYMBOLS else "v2"


def merge_lora(base: S2File, lora: S2File) -> S2File:
    """`base` with `lora` on top: W + B @ A for each pair (alpha equals the rank), other tensors replaced.

    Raises CheckpointError if the base lacks a name of the LoRA file, or their versions differ.
    """
    if base.version != lora.version or base.rank:
        raise CheckpointError(
            f"{lora.name} is a LoRA of {lora.version}; {base.name} is {base.version} and cannot be its base",
            file=lora.name,
        )
    merged = dict(base.weights)
    ups = {name: value for name, value in lora.weights.items() if ".lora_B." in name}
    for name, up in ups.items():
        down = lora.weights.get(name.replace(".lora_B.", ".lora_A."))
        target = name.split(".lora_B.")[0].replace(LORA_PREFIX, "cfm.") + ".weight"
        if down is None or target not in merged:
            raise CheckpointError(f"{lora.name}: {base.name} has no weight for {name}", file=lora.name, key=name)
        merged[target] = merged[target] + up @ down
    for name, value in lora.weights.items():
        if ".lora_A." in name or ".lora_B." in name:
            continue
        target = name.replace(LORA_PREFIX, "cfm.").replace(".base_layer.", ".")
        if target not in merged or merged[target].shape != value.shape:
            raise CheckpointError(f"{lora.name}: {name} does not fit {base.name}", file=lora.name, key=name)
        merged[target] = value
    return S2File(merged, base.config, base.version, lora.info, lora.name)


def load_tensors(path: Path, unwrap: tuple[str, ...] = ("generator", "weight", "state_dict")) -> dict[str, Tensor]:
    """The float32 tensors of a plain network file, weight norm folded. Raises CheckpointError."""
    loaded = load_torch(path)
    for key in unwrap:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    return fold_weight_norm(_floats(tensors_of(loaded, path)))


def plain(config: Any) -> dict[str, Any]:
    """A configuration as nested dicts; it may be a dict or a `utils.HParams`."""

    def walk(value: Any) -> Any:
        if isinstance(value, HParams):
            return {key: walk(inner) for key, inner in vars(value).items()}
        if isinstance(value, Mapping):
            return {str(key): walk(inner) for key, inner in value.items()}
        return value

    found = walk(config)
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    """The dict of a file, its zip header restored."""
    if not path.is_file():
        raise CheckpointError(f"the weights file {path.name} is missing", file=path.name)
    with path.open("rb") as opened:
        coded = opened.read(2) in HEADS
    allow: dict[str, type] = {"utils.HParams": HParams}
    if coded:
        data = io.BytesIO(b"PK" + path.read_bytes()[2:])
        loaded = load_torch(data, allow=allow, name=path.name)
    else:
        loaded = load_torch(path, allow=allow)
    if not isinstance(loaded, dict) or "weight" not in loaded:
        raise CheckpointError(f"{path.name} is not a GPT-SoVITS weights file: it has no `weight`", file=path.name)
    return loaded


def _weights(loaded: dict[str, Any], path: Path) -> dict[str, Tensor]:
    return _floats(tensors_of(loaded["weight"], path))


def _floats(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensor as float32: files are in half precision, but folding and merging need more."""
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
