"""Korean: g2pk2's pronunciation -> compatibility jamo, with 空 for a space and 停 for characters without a symbol."""

from __future__ import annotations

import re
import threading
from typing import Any

from hub.contract.errors import BackendUnavailable
from hub_gpt_sovits.text.corpora import nothing_fetched
from hub_gpt_sovits.tokenizer import symbol_ids

_LETTERS = {
    "a": "에이", "b": "비", "c": "시", "d": "디", "e": "이", "f": "에프", "g": "지", "h": "에이치", "i": "아이",
    "j": "제이", "k": "케이", "l": "엘", "m": "엠", "n": "엔", "o": "오", "p": "피", "q": "큐", "r": "아르",
    "s": "에스", "t": "티", "u": "유", "v": "브이", "w": "더블유", "x": "엑스", "y": "와이", "z": "제트",
}  # fmt: skip
_DIPHTHONGS = {
    "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ", "ㅑ": "ㅣㅏ",
    "ㅒ": "ㅣㅐ", "ㅕ": "ㅣㅓ", "ㅖ": "ㅣㅔ", "ㅛ": "ㅣㅗ", "ㅠ": "ㅣㅜ",
}  # fmt: skip
_PUNCTUATION = {
    "：": ",", "；": ",", "，": ",", "。": ".", "！": "!", "？": "?", "\n": ".", "·": ",", "、": ",", " ": "空",
}  # fmt: skip
_LIQUID = re.compile("([ㅇㄹ]ㅡㄹ) ㄹ")
_LAST_JAMO = re.compile("([\u3131-\u3163])$")

_lock = threading.Lock()
_reader: Any = None


def phones(text: str) -> list[str]:
    """The phones of `text`. Raises BackendUnavailable without g2pk2 and python-mecab-ko."""
    from jamo import h2j, j2hcj

    text = "".join(_LETTERS.get(character.lower(), character) for character in text)
    with _lock:
        text = _pronounce()(text)
    jamo = "".join(_DIPHTHONGS.get(character, character) for character in j2hcj(h2j(text)))
    jamo = _LAST_JAMO.sub(r"\1.", _LIQUID.sub("\\1 ㄴ", jamo))
    known = symbol_ids("v2")
    return [phone if (phone := _PUNCTUATION.get(one, one)) in known else "停" for one in jamo]


def _pronounce() -> Any:
    """g2pk2's reader. Its constructor would fetch a dictionary of English; letters are spelled here instead."""
    global _reader
    if _reader is None:
        try:
            import mecab

            with nothing_fetched():
                import g2pk2.g2pk2 as package
                from g2pk2.utils import get_rule_id2text, parse_table
        except ImportError as error:
            raise BackendUnavailable(
                f"Korean needs the package {error.name}: pip install 'tts-hub-gpt-sovits[ko]'"
            ) from None
        reader = package.G2p.__new__(package.G2p)
        reader.mecab = mecab.MeCab()
        reader.table = parse_table()
        reader.cmu = {}
        reader.rule2text = get_rule_id2text()
        reader.idioms_path = str(package.__file__).replace("g2pk2.py", "idioms.txt")
        _reader = reader
    return _reader
