"""The kind of a weights file, by its tensors' names, without torch and without running anything that is in it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hub_gpt_sovits.routes.answers import Refused

SIGNS = {
    "gpt": (b"ar_predict_layer.weight",),
    "sovits": (b"enc_p.text_embedding.weight", b"cfm.base_model.model."),
}
"""Names of tensors by kind; every file of a kind has one of them. The last one is a LoRA's."""

TITLES = {"gpt": "semantic weights (GPT)", "sovits": "acoustic weights (SoVITS)"}

LOCAL_HEADER = 30
"""Bytes of a zip entry before its name; the lengths of name and extra field are the last four."""

OLD_FORM = 4_000_000
"""Bytes to search for names in a file that is older than torch's zip format."""


def check_kind(file: Path, what: str) -> None:
    """Raise Refused unless `file` is a complete file of weights of the kind `what`, "gpt" or "sovits"."""
    try:
        names = _names(file)
    except (OSError, ValueError, zipfile.BadZipFile):
        names = b""
    kinds = [kind for kind, signs in SIGNS.items() if any(sign in names for sign in signs)]
    if what in kinds:
        return
    if kinds:
        raise Refused(f"{file.name} holds {TITLES[kinds[0]]}; this needs {TITLES[what]}")
    raise Refused(f"{file.name} is damaged, or not a weights file of GPT-SoVITS")


def _names(file: Path) -> bytes:
    """The pickle that holds the names. Newer files have a code in place of the zip's first two bytes."""
    with file.open("rb") as opened:
        if opened.read(1) == b"\x80":
            return opened.read(OLD_FORM)
        with zipfile.ZipFile(opened) as archive:
            entry = next((one for one in archive.infolist() if one.filename.endswith("/data.pkl")), None)
            if entry is None:
                raise ValueError("not a checkpoint")
            opened.seek(entry.header_offset)
            header = opened.read(LOCAL_HEADER)
            opened.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
            return opened.read(entry.file_size)
