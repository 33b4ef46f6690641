"""Checkpoints on disk -> tensors: safetensors, sharded or not, and torch's own files, without running their code.

A published checkpoint is data from a stranger. Torch files are read with `weights_only=True`; a pickle that would
call or build anything else is refused, and the error names the file and what it would call. Loading into a module is
strict: the keys of the file must be those of the module.
"""

from __future__ import annotations

import json
import pickle
import re
import threading
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hub.contract.errors import WorkerStartFailed

SHARD_INDEX = ".index.json"
_WANTED = re.compile(r"GLOBAL (\S+)")
"""The name that a refused pickle would call, in torch's error."""
_allow_lock = threading.Lock()  # torch keeps one allow-list for the whole process


class CheckpointError(WorkerStartFailed):
    """A checkpoint cannot be used: missing, damaged, unsafe, or for another model. Names the file, never its folder."""

    def __init__(self, message: str, *, file: str = "", **detail: Any) -> None:
        super().__init__(message, file=file, **detail)


def load_state(
    path: Path,
    *,
    allow: Mapping[str, type] | None = None,
    unwrap: Iterable[str] = ("state_dict",),
    device: str | torch.device = "cpu",
) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name.

    `path` is a `.safetensors` file, a sharded one's `*.safetensors.index.json`, a torch file (any other suffix), or a
    folder that holds exactly one of `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin`. A torch
    file may hold its tensors under one of the keys `unwrap`. Raises CheckpointError, also for entries that are not
    tensors.
    """
    path = _inside(path) if path.is_dir() else path
    if path.name.endswith(SHARD_INDEX):
        return _load_shards(path, device)
    if path.suffix == ".safetensors":
        return _load_safetensors(path, device)
    found = unwrapped(load_torch(path, allow=allow, device=device), unwrap)
    return tensors_of(found, path)


def load_torch(
    source: Path | BinaryIO,
    *,
    allow: Mapping[str, type] | None = None,
    device: str | torch.device = "cpu",
    name: str = "",
) -> Any:
    """The content of a `torch.save` file: tensors in dicts and lists, numbers and strings. None of its code is run.

    `allow` maps the full name of a class in the file ("utils.HParams") to a harmless class that stands in for it; an
    object of it is made without calling `__init__`, and gets the attributes. Errors call the file `name` if `source` is
    not a path. Raises CheckpointError.
    """
    name = source.name if isinstance(source, Path) else name or "checkpoint"
    if isinstance(source, Path) and not source.is_file():
        raise CheckpointError(f"the checkpoint file {name} is missing", file=name)
    stand_ins: list[Any] = [(kind, full_name) for full_name, kind in (allow or {}).items()]
    try:
        with _allow_lock, torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the pickle's protocol
            return torch.load(source, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(name, str(error)), file=name) from None
    except Exception as error:  # damage can raise almost anything
        raise CheckpointError(
            f"{name} is damaged, or not a torch checkpoint ({type(error).__name__}); fetch it again", file=name
        ) from error


def unwrapped(loaded: Any, keys: Iterable[str] = ("state_dict",)) -> Any:
    """`loaded` without its wrappers: while it is a dict with one of `keys` that holds a dict, that dict."""
    names = tuple(keys)
    while isinstance(loaded, Mapping):
        inner = next((loaded[key] for key in names if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            return loaded
        loaded = inner
    return loaded


def tensors_of(loaded: Any, path: Path) -> dict[str, Tensor]:
    """`loaded` as a plain dict of tensors. Raises CheckpointError if it is anything else."""
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path.name} does not contain a dictionary of tensors", file=path.name)
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path.name} contains more than tensors: {str(key)[:80]!r} is a {type(value).__name__}",
                file=path.name,
                key=str(key)[:80],
            )
    return dict(loaded)


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with `prefix` (with its dot), by the rest of their names."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def fold_weight_norm(state: Mapping[str, Tensor], *, dims: Mapping[str, int] | None = None) -> dict[str, Tensor]:
    """A copy of `state` in which weight-normed weights are plain ones: w = g * v / ||v||.

    Reads torch's old names (`X.weight_g`, `X.weight_v`) and its new ones (`X.parametrizations.weight.original0`,
    `...original1`). The norm is over all axes but the one along which g varies (g has size 1 on the others); if g has
    one element, over all but axis 0. `dims` gives the axis for X, where it is another one. Half-precision weights are
    computed in float32, and returned in their own type.
    """
    folded: dict[str, Tensor] = {}
    for key, value in state.items():
        for magnitude, direction in (
            (".weight_g", ".weight_v"),
            (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
        ):
            module = key.removesuffix(direction)
            if key.endswith(magnitude) and key.removesuffix(magnitude) + direction in state:
                break  # its direction takes it along
            if module != key and module + magnitude in state:
                kept = (dims or {}).get(module)
                folded[module + ".weight"] = _normed(state[module + magnitude], value, kept)
                break
        else:
            folded[key] = value
    return folded


def load_strict(module: nn.Module, state: Mapping[str, Tensor], file: str, *, ignore: Iterable[str] = ()) -> None:
    """Load `state`, which must have exactly the keys and the shapes of `module`.

    `file` names the checkpoint in errors; `ignore` are suffixes of keys in the file that are not needed (old buffers).
    A module built under `torch.device("meta")` gets the tensors themselves, in their own types; any other is filled in
    its own type and on its own device. Raises CheckpointError naming file and key.
    """
    unwanted = tuple(ignore)
    given = {key: value for key, value in state.items() if not (unwanted and key.endswith(unwanted))}
    wanted = module.state_dict()
    if missing := sorted(wanted.keys() - given.keys()):
        raise CheckpointError(f"{file} lacks {_some(missing)}; it is for another model", file=file, key=missing[0])
    if surplus := sorted(given.keys() - wanted.keys()):
        raise CheckpointError(
            f"{file} has {_some(surplus)}, which this model does not have; it is for another model",
            file=file,
            key=surplus[0],
        )
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            raise CheckpointError(
                f"{file}: {key} has shape {list(value.shape)}; this model needs {list(wanted[key].shape)}",
                file=file,
                key=key,
            )
    on_meta = any(value.is_meta for value in wanted.values())
    module.load_state_dict(given, strict=True, assign=on_meta)


def _inside(folder: Path) -> Path:
    names = ("model.safetensors", "model.safetensors" + SHARD_INDEX, "pytorch_model.bin")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"the checkpoint folder has none of {', '.join(names)}", file=names[0])


def _load_safetensors(path: Path, device: str | torch.device) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"the checkpoint file {path.name} is missing", file=path.name)
    try:
        with safe_open(path, framework="pt", device=str(device)) as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 -- no mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path.name} is damaged, or not a safetensors file; fetch it again", file=path.name
        ) from error


def _load_shards(index: Path, device: str | torch.device) -> dict[str, Tensor]:
    try:
        shard_of: dict[str, str] = json.loads(index.read_bytes())["weight_map"]
        files = sorted(set(shard_of.values()))
        outside = [name for name in files if Path(name).name != name]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index.name} is missing, or not an index of shards", file=index.name) from error
    if outside:
        raise CheckpointError(f"{index.name} points outside its folder ({outside[0]!r})", file=index.name)
    state: dict[str, Tensor] = {}
    for name in files:
        state |= _load_safetensors(index.parent / name, device)
    if missing := sorted(shard_of.keys() - state.keys()):
        raise CheckpointError(
            f"{shard_of[missing[0]]} lacks {_some(missing)}, which {index.name} promises",
            file=shard_of[missing[0]],
            key=missing[0],
        )
    return state


def _refusal(name: str, words: str) -> str:
    """The error for a pickle with more than data; torch's own message advises to switch the check off."""
    if (wanted := _WANTED.search(words)) is not None:
        return f"{name} is refused: it is a pickle that would run code ({wanted[1][:120]}), not only weights"
    return f"{name} is refused: it is damaged, or a pickle that would run code, not only weights"


def _normed(magnitude: Tensor, direction: Tensor, kept: int | None) -> Tensor:
    """g * v / ||v||, the norm over every axis but `kept`."""
    if kept is None:
        along = [axis for axis, size in enumerate(magnitude.shape) if size > 1]
        kept = along[0] if len(along) == 1 else 0
    exact = direction.float() if direction.dtype in (torch.float16, torch.bfloat16) else direction
    # torch's own fused operation, so that a folded weight has the bits of an unfolded one
    weight = torch._weight_norm(exact, magnitude.to(exact.dtype).reshape(_along(kept, exact.dim())), kept)
    return weight.to(direction.dtype)


def _along(axis: int, count: int) -> list[int]:
    return [-1 if index == axis else 1 for index in range(count)]


def _some(keys: list[str]) -> str:
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
