"""Readings of Chinese characters in their sentence: the G2PW model, as an ONNX file with its tables.

The folder is `G2PWModel` of a release: `g2pW.onnx`, `config.py`, `POLYPHONIC_CHARS.txt`, `MONOPHONIC_CHARS.txt`,
`bopomofo_to_pinyin_wo_tune_dict.json`. The model takes traditional characters, and reads only those with several
readings; the others have one in a table, or pypinyin's. Its tokenizer is that of the Chinese BERT.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from misaki.zh_normalization.char_convert import tranditional_to_simplified as to_simplified
from pypinyin import Style, pinyin

from hub.contract.errors import WorkerStartFailed

CONTEXT = 16
"""Characters of context before the first and after the last character that the model reads."""

LONGEST = 510
"""Longest context that the model takes; in a longer one each character is read with its own surroundings."""

_BY_TABLE = frozenset("一不和咋嗲剖差攢倒難奔勁拗肖瘙誒泊听噢")
"""Characters with several readings that the model reads badly."""

_NOT_BY_TABLE = frozenset("似攢")
"""Characters whose single reading in the table is wrong."""


class G2PW:
    """The model in `folder`, with the tokenizer of the BERT in `bert`. Raises WorkerStartFailed if one is missing."""

    def __init__(self, folder: Path, bert: Path) -> None:
        import onnxruntime
        from opencc import OpenCC
        from tokenizers import Tokenizer

        model = next((folder / name for name in ("g2pW.onnx", "g2pw.onnx") if (folder / name).is_file()), None)
        vocabulary = bert / "tokenizer.json"
        if model is None or not vocabulary.is_file():
            missing = "g2pW.onnx" if model is None else f"{bert.name}/tokenizer.json"
            raise WorkerStartFailed(f"the readings of Chinese characters need {missing} beside {folder.name}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 2
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._traditional = OpenCC("s2tw")
        self._read_tables(folder)

    def _read_tables(self, folder: Path) -> None:
        config = _assignments(folder / "config.py")
        pairs = [tuple(line.split("\t")) for line in _lines(folder / "POLYPHONIC_CHARS.txt")]
        by_character = bool(config.get("use_char_phoneme", False))
        labels = [f"{character} {sound}" if by_character else sound for character, sound in pairs]
        self._labels = sorted(set(labels))
        columns = {label: column for column, label in enumerate(self._labels)}
        characters = sorted({character for character, _ in pairs})
        self._character_ids = {character: number for number, character in enumerate(characters)}
        self._masks = np.zeros((len(characters), len(self._labels)), np.float32)
        for (character, _), label in zip(pairs, labels, strict=True):
            self._masks[self._character_ids[character], columns[label]] = 1
        if not config.get("use_mask", True):
            self._masks[:] = 1
        self._asked = set(characters) - _BY_TABLE
        single = dict(line.split("\t") for line in _lines(folder / "MONOPHONIC_CHARS.txt"))
        self._single = {character: sound for character, sound in single.items() if character not in _NOT_BY_TABLE}
        self._pinyin = json.loads((folder / "bopomofo_to_pinyin_wo_tune_dict.json").read_text(encoding="utf-8"))

    def readings(self, sentence: str) -> list[str]:
        """Pinyin with tone (5: neutral) of each character of `sentence`; punctuation stays as it is."""
        traditional = self._traditional.convert(sentence)
        if len(traditional) != len(sentence):
            traditional = sentence
        default = pinyin(to_simplified(traditional), neutral_tone_with_five=True, style=Style.TONE3)
        if len(default) != len(sentence):  # pypinyin takes punctuation in a row as one
            default = [pinyin(character, neutral_tone_with_five=True, style=Style.TONE3)[0] for character in sentence]
        found = [readings[0] for readings in default]
        asked = []
        for index, character in enumerate(traditional):
            if character in self._asked:
                asked.append(index)
            elif character in self._single:
                found[index] = self._spelled(self._single[character]) or found[index]
        for index, sound in zip(asked, self._ask(traditional, asked), strict=True):
            found[index] = self._spelled(sound) or found[index]
        return found

    def _spelled(self, bopomofo: str) -> str | None:
        syllable = self._pinyin.get(bopomofo[:-1])
        return syllable + bopomofo[-1] if syllable else None

    def _ask(self, sentence: str, indices: list[int]) -> list[str]:
        """The model's readings, in bopomofo with tone, of the characters at `indices`."""
        if not indices:
            return []
        start, end = max(0, indices[0] - CONTEXT), indices[-1] + CONTEXT + 1
        context = sentence[start:end]
        if len(context) <= LONGEST:
            return self._predict(context, [index - start for index in indices])
        sounds = []
        for index in indices:
            start = max(0, index - LONGEST // 2)
            sounds += self._predict(sentence[start : start + LONGEST], [index - start])
        return sounds

    def _predict(self, context: str, indices: Sequence[int]) -> list[str]:
        tokens = self._tokens(context.lower())
        characters = [self._character_ids[context[index]] for index in indices]
        inputs = {
            "input_ids": tokens,
            "token_type_ids": np.zeros_like(tokens),
            "attention_mask": np.ones_like(tokens),
            "phoneme_mask": self._masks[characters],
            "char_ids": np.array(characters, np.int64),
            "position_ids": np.array(indices, np.int64) + 1,  # [CLS] comes first
        }
        probabilities: Any = self._session.run(None, inputs)[0]  # (N, labels)
        return [self._labels[best].split(" ")[-1] for best in probabilities.argmax(1)]

    def _tokens(self, context: str) -> Any:
        """One token for each character, between [CLS] and [SEP]: (1, N + 2)."""
        unknown = self._tokenizer.token_to_id("[UNK]")
        ids = [self._tokenizer.token_to_id("[CLS]")]
        for character in context:
            found = self._tokenizer.encode(character, add_special_tokens=False).ids
            ids.append(found[0] if len(found) == 1 else unknown)
        ids.append(self._tokenizer.token_to_id("[SEP]"))
        return np.array([ids], np.int64)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").strip().split("\n")


def _assignments(path: Path) -> dict[str, Any]:
    """The plain values that a Python file assigns, read without running it."""
    found: dict[str, Any] = {}
    if not path.is_file():
        return found
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # a computed value, which is not needed here
    return found
