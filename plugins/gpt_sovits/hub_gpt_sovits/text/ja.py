"""Japanese: Open JTalk's full-context labels -> phones and pitch symbols.

`[` rises, `]` falls, `#` is the border of an accent phrase (in no symbol table, so it becomes unknown), `_` a pause:
the symbols of Kurihara et al. 2021, "Prosodic Features Control by Symbols as Input of Sequence-to-Sequence Acoustic
Modeling for Neural TTS", https://doi.org/10.1587/transinf.2020EDP7104.
"""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

from hub.contract.errors import BackendUnavailable
from hub_gpt_sovits.tokenizer import PUNCTUATION_CLASS

DICTIONARY = "open_jtalk_dic_utf_8-1.11"
"""Name of the dictionary's folder."""

_READ = r"A-Za-z\d\u3005\u3040-\u30ff\u4e00-\u9fff\uff11-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9d"
_OTHER = re.compile(rf"([^{_READ}])")
_REPEATED = re.compile(rf"([{PUNCTUATION_CLASS}])[{PUNCTUATION_CLASS}]+")
_PUNCTUATION = {"：": ",", "；": ",", "，": ",", "。": ".", "！": "!", "？": "?", "\n": ".", "·": ",", "、": ","}

_PHONE = re.compile(r"-(.*?)\+")
_ACCENT = re.compile(r"/A:(-?\d+)\+(\d+)\+(\d+)/")
_MORAS = re.compile(r"/F:(\d+)_")
_NONE = -50


def normalized(text: str) -> str:
    """`text` without repeated punctuation."""
    return _REPEATED.sub(r"\1", text)


class Japanese:
    """Phones of Japanese. `data` is a release's text folder: its `ja_userdic/userdict.csv` adds words.

    Open JTalk's own dictionary comes from the folder in the environment's OPEN_JTALK_DICT_DIR, from `pulled`, from
    `data`, or from the package pyopenjtalk. Raises BackendUnavailable without the package or the dictionary.
    """

    def __init__(self, data: Path | None = None, pulled: Path | None = None) -> None:
        try:
            import pyopenjtalk
            from pyopenjtalk.openjtalk import OpenJTalk
        except ImportError:
            raise BackendUnavailable(
                "Japanese needs the package pyopenjtalk: pip install 'tts-hub-gpt-sovits[ja]'"
            ) from None
        folder = dictionary(data, pulled)
        if folder is None:
            raise BackendUnavailable(
                f"Japanese needs Open JTalk's dictionary: set OPEN_JTALK_DICT_DIR to the folder {DICTIONARY}, "
                "or fetch it once: python -c 'import pyopenjtalk; pyopenjtalk.g2p(\"a\")'"
            )
        words = data / "ja_userdic/userdict.csv" if data else None
        self._jtalk = OpenJTalk(dn_mecab=bytes(folder), userdic=_compiled(words, pyopenjtalk))
        self._lock = threading.Lock()  # it keeps state between its two steps

    def phones(self, text: str) -> list[str]:
        """The phones of normalised `text`."""
        found: list[str] = []
        for number, part in enumerate(_OTHER.split(text.replace("％", "パーセント").lower())):
            if part and part != " ":
                found += [_PUNCTUATION.get(part, part)] if number % 2 else self._sentence(part)
        return found

    def _sentence(self, text: str) -> list[str]:
        """The phones of a part without punctuation, without the silences around it."""
        with self._lock:
            labels = self._jtalk.make_label(self._jtalk.run_frontend(text))
        found: list[str] = []
        for label, following in itertools.pairwise(labels[1:]):
            phone = _match(_PHONE, label)
            if phone == "pau":
                found.append("_")
                continue
            if phone in ("A", "E", "I", "O", "U"):  # a vowel without voice
                phone = phone.lower()
            found.append(phone)
            found += _pitch(phone, label, following)
        return found


def dictionary(data: Path | None, pulled: Path | None = None) -> Path | None:
    """The folder of Open JTalk's dictionary, if it is on this machine; `pulled` is the one that `ttshub pull` makes."""
    named = os.environ.get("OPEN_JTALK_DICT_DIR")
    package = importlib.util.find_spec("pyopenjtalk")
    folders = [
        Path(named) if named else None,
        pulled,
        data / DICTIONARY if data else None,
        Path(package.origin).parent / DICTIONARY if package and package.origin else None,
    ]
    return next((folder for folder in folders if folder and (folder / "sys.dic").is_file()), None)


def _compiled(words: Path | None, package: Any) -> bytes:
    """The path of a release's own words, compiled for Open JTalk; empty if there are none."""
    if words is None or not words.is_file():
        return b""
    folder = Path(tempfile.mkdtemp(prefix="tts-hub-words-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    package.mecab_dict_index(str(words), str(folder / "user.dict"))
    return bytes(folder / "user.dict")


def _pitch(phone: str, label: str, following: str) -> list[str]:
    """The pitch symbol after a phone, if any: by the positions of the accent, of this mora and of the next one."""
    accent, forward, backward = _numbers(_ACCENT, label, 3)
    moras = _numbers(_MORAS, label, 1)[0]
    _, next_forward, _ = _numbers(_ACCENT, following, 3)
    if backward == 1 and next_forward == 1 and phone in ("a", "e", "i", "o", "u", "N", "cl"):
        return ["#"]
    if accent == 0 and next_forward == forward + 1 and forward != moras:
        return ["]"]
    if forward == 1 and next_forward == 2:
        return ["["]
    return []


def _match(pattern: re.Pattern[str], label: str) -> str:
    match = pattern.search(label)
    return match[1] if match else ""


def _numbers(pattern: re.Pattern[str], label: str, count: int) -> tuple[int, ...]:
    """The numbers of a field; for silences, whose fields are `xx`, a number that no mora has."""
    match = pattern.search(label)
    return tuple(map(int, match.groups())) if match else (_NONE,) * count
