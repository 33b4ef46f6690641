"""Finding the parts of a Higgs Audio checkpoint, the language model and the codec, by their contents.

Both parts are published in two layouts, boson's and transformers', and the repositories were overwritten, so a folder's
name says nothing: `config.json` identifies a part, and the names of its weights identify their layout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from hub.contract.errors import WorkerStartFailed

CONFIG = "config.json"
HOW = (
    "give `path` the folder of bosonai/higgs-audio-v2-generation-3B-base, and `options.codec` that of "
    "bosonai/higgs-audio-v2-tokenizer; or `path` a folder that holds both; `ttshub pull higgs_audio` fetches them"
)


class CheckpointRefused(WorkerStartFailed):
    """The folder has no Higgs Audio v2 that this backend can load. The message names files, never their folder."""


class Part(NamedTuple):
    """A folder and its `config.json`."""

    folder: Path
    config: dict[str, Any]


def find_language(path: str) -> Part:
    """The language model at `path` or in a folder directly below it.

    Raises CheckpointRefused if there is none or more than one, or if it is another model (Higgs Audio v3).
    """
    return _the_one("language model", [part for part in _parts(_near(path)) if is_language(part.config)])


def find_codec(path: str, codec: str = "") -> Part:
    """The codec: in the folder `codec` if that is given, else at `path`, directly below it, or beside it.

    Raises CheckpointRefused if there is none or more than one.
    """
    folders = [Path(codec).expanduser()] if codec else _near(path)
    found = [part for part in _parts(folders) if is_codec(part.config)]
    if not found and not codec:
        found = [part for part in _parts(_below(Path(path).expanduser().resolve().parent)) if is_codec(part.config)]
    return _the_one("codec", found)


def _near(path: str) -> list[Path]:
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        raise CheckpointRefused(f"there is no folder with a Higgs Audio v2 checkpoint at `path`; {HOW}")
    return [root, *_below(root)]


def is_language(config: dict[str, Any]) -> bool:
    """Recognise the `config.json` of a Higgs language model. Raises CheckpointRefused for one of another version."""
    kind = str(config.get("model_type", ""))
    if kind in ("higgs_audio", "higgs_audio_v2"):
        return True
    if kind.startswith("higgs_audio") and not kind.endswith("tokenizer"):
        raise CheckpointRefused(
            f"this checkpoint is {kind[:60]!r}, another model family; this backend speaks Higgs Audio v2 only",
            model_type=kind[:60],
        )
    return False


def is_codec(config: dict[str, Any]) -> bool:
    """Recognise the `config.json` of a Higgs codec, in boson's layout or in transformers'."""
    return "semantic_techer" in config or "acoustic_model_config" in config or {"ratios", "n_q"} <= config.keys()


def _parts(folders: list[Path]) -> list[Part]:
    return [Part(folder, read_json(folder / CONFIG)) for folder in folders if (folder / CONFIG).is_file()]


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:  # the parent folder may be unreadable, and then the codec is not beside the model
        return []


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointRefused naming the file."""
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointRefused(f"{path.name} cannot be read ({type(error).__name__}); fetch it again") from error
    if not isinstance(loaded, dict):
        raise CheckpointRefused(f"{path.name} is not a JSON object; fetch it again")
    return loaded


def _the_one(what: str, found: list[Part]) -> Part:
    if not found:
        raise CheckpointRefused(f"there is no {what} of Higgs Audio v2; {HOW}")
    if len(found) > 1:
        names = ", ".join(part.folder.name for part in found)
        raise CheckpointRefused(f"several folders hold a {what} of Higgs Audio v2 ({names}); name one; {HOW}")
    return found[0]
