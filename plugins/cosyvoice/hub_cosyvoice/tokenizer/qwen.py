"""The byte-level BPE of Qwen2, with the tags that CosyVoice 2 and 3 add to it.

The folder has vocab.json, merges.txt and tokenizer_config.json; there is no tokenizer.json in the releases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from hub.contract.errors import WorkerStartFailed
from hub_cosyvoice.tokenizer.tags import CONTROL, END_OF_PROMPT, PHONES, SOUNDS

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's cuts of a text before its merges (a fact of its tokenizer_config and of transformers' Qwen2Tokenizer)."""


class QwenTokenizer:
    """Ids of the second and third generation; `with_phones` adds the phones and pinyin of the third."""

    def __init__(self, folder: Path, *, with_phones: bool) -> None:
        self._bpe = tokenizers.Tokenizer(_model(folder))
        self._bpe.normalizer = NFC()
        self._bpe.pre_tokenizer = Sequence(
            [
                Split(tokenizers.Regex(_WORDS), behavior="isolated", invert=False),
                ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self._added = _added_tokens(folder)
        self.size = max([self._bpe.get_vocab_size() - 1, *self._added.values()]) + 1
        for tag in (*CONTROL[:-1], END_OF_PROMPT, *SOUNDS, *((CONTROL[-1], *PHONES) if with_phones else ())):
            if tag not in self._added:
                self._added[tag] = self.size
                self.size += 1
        self.end_of_prompt: int | None = self._added[END_OF_PROMPT]
        self._any = _alternatives(self._added)
        self._tags = _alternatives(tag for tag in self._added if not tag.startswith("<|"))

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """The ids of `text`, as `Tokenizer` says."""
        ids: list[int] = []
        for number, part in enumerate((self._any if control else self._tags).split(text)):
            if number % 2:
                ids.append(self._added[part])
            elif part:
                ids += self._bpe.encode(part, add_special_tokens=False).ids
        return ids


def _alternatives(tags: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds the longest of `tags`, as a group of its own."""
    ordered = sorted(tags, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, ordered)) + ")")


def _model(folder: Path) -> BPE:
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    for file in (vocabulary, merges):
        if not file.is_file():
            raise WorkerStartFailed(f"the checkpoint's text tokenizer is not complete: {folder.name}/{file.name}")
    try:
        return BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # the library raises plain Exceptions
        raise WorkerStartFailed(f"{folder.name}/vocab.json and merges.txt are damaged: {error}") from error


def _added_tokens(folder: Path) -> dict[str, int]:
    """The tokens that tokenizer_config.json adds to the vocabulary, with their ids."""
    file = folder / "tokenizer_config.json"
    try:
        entries: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["added_tokens_decoder"]
        return {str(entry["content"]): int(number) for number, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkerStartFailed(f"{folder.name}/{file.name} is missing or damaged: fetch it again") from error
