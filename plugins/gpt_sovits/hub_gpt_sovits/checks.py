"""Notes of `ttshub check` on a GPT-SoVITS model: missing parts of its text front end, and what replaces them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hub_gpt_sovits.text.ja import DICTIONARY, dictionary

if TYPE_CHECKING:
    from hub.settings import ModelSettings

TABLES = ("polyphonic.rep", "polyphonic-fix.rep", "cmudict.rep", "cmudict-fast.rep", "engdict-hot.rep")
PACKAGES = {
    "Japanese": ("ja", ("pyopenjtalk",)),
    "Korean": ("ko", ("g2pk2", "jamo", "mecab")),
    "Cantonese": ("yue", ("ToJyutping",)),
}
"""Language -> the extra of this distribution, and the modules that it needs."""


def text_notes(model: ModelSettings) -> Iterator[str]:
    """Notes on the model's folder and the packages of this interpreter. Reads no file, imports nothing."""
    root = Path(model.path).expanduser()
    inner = root / "GPT_SoVITS"
    named = model.options.get("text_data", "")
    folders = [root / named] if named else [root / "text", inner / "text", root / "GPT-SoVITS" / "GPT_SoVITS" / "text"]
    folder = next((one for one in folders if one.is_dir()), None)
    missing = [name for name in TABLES if folder is None or not any(folder.glob(f"**/{name}"))]
    if missing:
        what = "its own pronunciation tables" if len(missing) == len(TABLES) else ", ".join(missing)
        yield f"without {what}: the Python packages' own dictionaries and rules read the words"
    pulls = (root, root / "text", inner / "text", root / "pretrained_models")
    if not any((one / "G2PWModel").is_dir() for one in pulls):
        yield "without G2PWModel: pypinyin reads Chinese characters with several readings, word by word"
    if not model.python:  # the packages of another interpreter are visible to its worker only
        pulled = next((one / DICTIONARY for one in pulls if (one / DICTIONARY).is_dir()), None)
        yield from _package_notes(folder, pulled)


def _package_notes(data: Path | None, pulled: Path | None) -> Iterator[str]:
    for language, (extra, modules) in PACKAGES.items():
        if any(importlib.util.find_spec(module) is None for module in modules):
            yield f"{language} cannot be read: pip install 'tts-hub-gpt-sovits[{extra}]'"
    if importlib.util.find_spec("pyopenjtalk") is not None and dictionary(data, pulled) is None:
        yield (
            "Japanese cannot be read before Open JTalk's dictionary is there: set OPEN_JTALK_DICT_DIR to the folder "
            f"{DICTIONARY}, or fetch it once: python -c 'import pyopenjtalk; pyopenjtalk.g2p(\"a\")'"
        )
