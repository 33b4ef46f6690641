"""Text -> token ids: tiktoken (1.5, S1) or a Hugging Face tokenizer file (1.4, S2).

Special tokens are recognised where the prompt itself writes them. In users' texts none is, except those that spell a
word in phonemes: a text cannot end the message, change the role or inject codes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from hub.nn.weights import CheckpointError
from hub_fish_speech.variants import Name

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
SEMANTIC = "<|semantic|>"
PHONEMES = ("<|phoneme_start|>", "<|phoneme_end|>")
"""Special tokens that users may write."""

TIKTOKEN, SPECIALS, HF = "tokenizer.tiktoken", "special_tokens.json", "tokenizer.json"

PATTERN = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"\p{P}",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(\?!\S)",  # sic: a look-ahead was meant; the models were trained with it as it is
        r"\s+",
    )
)
"""The pieces of a text before byte pairs are merged, as the models were trained."""

LONGEST = 400_000
"""Characters that are encoded at once; longer text is cut there."""

_V1_5 = (
    "begin_of_text end_of_text pad im_start im_end placeholder:0 placeholder:1 placeholder:2 placeholder:3 text voice "
    "interleave"
)
_S1 = (
    "begin_of_text end_of_text pad im_start im_end phoneme_start phoneme_end tool_call_start tool_call_end text voice "
    "interleave audio_start audio_end audio"
)


class Coder(Protocol):
    """A library's tokenizer."""

    specials: dict[str, int]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; special tokens in it are recognised."""
        ...


class Tokenizer:
    """`semantic_begin`..`semantic_end` are the ids of main tokens that stand for audio; `im_end` ends an utterance."""

    def __init__(self, coder: Coder, *, single_semantic: bool) -> None:
        self._coder = coder
        self.im_end = self.id(IM_END)
        if single_semantic:
            self.semantic_begin = self.semantic_end = self.id(SEMANTIC)
        else:
            self.semantic_begin, self.semantic_end = _semantic_range(coder.specials)
        guarded = sorted(set(coder.specials) - set(PHONEMES), key=len, reverse=True)
        self._guarded = _control_tokens(guarded)

    def id(self, special: str) -> int:
        """The id of a special token. Raises CheckpointError if the checkpoint has none."""
        if special not in self._coder.specials:
            raise CheckpointError(f"the tokenizer of this checkpoint has no {special}", file=HF, key=special)
        return self._coder.specials[special]

    def encode(self, text: str) -> list[int]:
        """Ids of text that the prompt itself writes: special tokens are recognised."""
        ids: list[int] = []
        for start in range(0, len(text), LONGEST):
            ids += self._coder.encode(text[start : start + LONGEST])
        return ids

    def encode_user(self, text: str, *, before: str = "", after: str = "") -> list[int]:
        """Ids of a user's text: a special token in it is spelled out, like any other text.

        `before` and `after` are the prompt's own words, tokenized together with the text.
        """
        whole = before + text + after
        ids: list[int] = []
        begin = 0
        for found in self._guarded.finditer(text):
            # Cut inside the token's name: neither half is special.
            cut = len(before) + found.start() + 1
            ids += self.encode(whole[begin:cut])
            begin = cut
        return ids + self.encode(whole[begin:])


def load_tokenizer(folder: Path, variant: Name) -> Tokenizer:
    """The tokenizer of a checkpoint. Raises CheckpointError."""
    if variant in ("v1_4", "s2"):
        return Tokenizer(_HuggingFace(folder / HF), single_semantic=variant == "v1_4")
    ranks = _read_ranks(folder / TIKTOKEN, skip_padding=variant == "s1")
    if variant == "v1_5":
        return Tokenizer(_Tiktoken(ranks, _names(_V1_5, 1024)), single_semantic=False)
    names = _names_of(folder / SPECIALS) or _names(_S1, 4096)
    return Tokenizer(_Tiktoken(ranks, names), single_semantic=False)


def _semantic_range(specials: dict[str, int]) -> tuple[int, int]:
    """The ids of `<|semantic:0|>`, ... Raises CheckpointError unless they follow each other."""
    named = re.compile(r"<\|semantic:(\d+)\|>")
    numbered = {int(found[1]): number for name, number in specials.items() if (found := named.fullmatch(name))}
    if 0 not in numbered:
        raise CheckpointError("the tokenizer has no <|semantic:0|>: it is for another model", key="<|semantic:0|>")
    begin = numbered[0]
    if any(identity != begin + code for code, identity in numbered.items()):
        raise CheckpointError("the tokenizer's <|semantic:i|> do not follow each other", key="<|semantic:0|>")
    return begin, begin + max(numbered)


def _control_tokens(names: Iterable[str]) -> re.Pattern[str]:
    """Any of the special tokens; the thousands of semantic ones as one expression."""
    plain = [re.escape(name) for name in names if not name.startswith("<|semantic:")]
    return re.compile("|".join([r"<\|semantic:\d+\|>", *plain]))


def _names(listed: str, semantic: int) -> list[str]:
    return [f"<|{name}|>" for name in listed.split()] + [f"<|semantic:{code}|>" for code in range(semantic)]


def _names_of(path: Path) -> list[str]:
    """The special tokens of special_tokens.json, in the file's order, which gives their ids; none without the file."""
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path.name} is not JSON: {error}", file=path.name) from None
    return [str(name) for name in found]


def _read_ranks(path: Path, *, skip_padding: bool) -> dict[bytes, int]:
    """`base64 rank` a line."""
    ranks: dict[bytes, int] = {}
    try:
        for line in path.read_text("ascii").splitlines():
            if not line:
                continue
            token, rank = line.split()
            if not (skip_padding and token == "="):
                ranks[base64.b64decode(token)] = int(rank)
    except OSError:
        raise CheckpointError(f"the checkpoint file {path.name} is missing", file=path.name) from None
    except (ValueError, binascii.Error) as error:
        raise CheckpointError(f"{path.name} is not a tiktoken vocabulary: {error}", file=path.name) from None
    return ranks


class _Tiktoken:
    def __init__(self, ranks: dict[bytes, int], names: list[str]) -> None:
        import tiktoken

        self.specials = {name: len(ranks) + number for number, name in enumerate(names)}
        self._encoding = tiktoken.Encoding(
            "fish_speech", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=self.specials
        )

    def encode(self, text: str) -> list[int]:
        return self._encoding.encode(text, allowed_special="all")


class _HuggingFace:
    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Library

        if not path.is_file():
            raise CheckpointError(f"the checkpoint file {path.name} is missing", file=path.name)
        try:
            self._library = Library.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"{path.name} is not a tokenizer file: {error}", file=path.name) from None
        vocabulary = self._library.get_vocab(with_added_tokens=True)
        self.specials = {name: number for name, number in vocabulary.items() if name[:2] == "<|" and name[-2:] == "|>"}
        added = self._library.get_added_tokens_decoder()
        self.specials |= {token.content: number for number, token in added.items()}

    def encode(self, text: str) -> list[int]:
        return list(self._library.encode(text, add_special_tokens=False).ids)
