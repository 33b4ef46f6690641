"""Whisper's byte-pair vocabulary, which the first generation reads.

Its words are cut as in GPT-2. After the ranks come the control tokens, whose order determines their ids: two of the
text, the languages, those that the 25 Hz models add, six of Whisper's tasks, and 1501 time stamps.
"""

from __future__ import annotations

import base64
import gzip
from importlib import resources

import tiktoken

_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

_CODES = """
    en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi
    ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd
    gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue
"""

LANGUAGES = tuple(_CODES.split())
"""Whisper's languages, in its order."""

SPOKEN = ("en", "zh", "ja", "yue", "ko")
"""Languages that the first generation speaks; a text may have their tags, such as <|en|>."""

_MORE_LANGUAGES = ("minnan", "wuyu", "dialect", "zh/en", "en/zh")
_EVENTS = ("ASR", "AED", "SER", "Speech", "/Speech", "BGM", "/BGM", "Laughter", "/Laughter", "Applause", "/Applause")
_EMOTIONS = ("HAPPY", "SAD", "ANGRY", "NEUTRAL")
_TASKS = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
_VOCAL = ("B", "O", "Q", "A", "CO", "CL", "H", *(f"SP{number:02d}" for number in range(1, 14)))


class WhisperTokenizer:
    """Ids of the first generation. `vocabulary` names a file of `vocabularies`; the 25 Hz one has more tokens."""

    end_of_prompt: int | None = None

    def __init__(self, vocabulary: str, *, languages: int) -> None:
        ranks = _ranks(vocabulary)
        names = _control(languages, extended=vocabulary != "multilingual")
        self.size = len(ranks) + len(names)
        self._encoding = tiktoken.Encoding(
            vocabulary,
            pat_str=_WORDS,
            mergeable_ranks=ranks,
            special_tokens={f"<|{name}|>": len(ranks) + number for number, name in enumerate(names)},
        )
        self._tags = frozenset(f"<|{language}|>" for language in SPOKEN if language in names)

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """The ids of `text`, as `Tokenizer` says. The tags that a text may have are those of the spoken languages."""
        allowed = self._encoding.special_tokens_set if control else self._tags
        return self._encoding.encode(text, allowed_special=allowed, disallowed_special=())


def _ranks(vocabulary: str) -> dict[bytes, int]:
    packed = resources.files(__package__).joinpath("vocabularies", f"{vocabulary}.gz").read_bytes()
    return {base64.b64decode(line): rank for rank, line in enumerate(gzip.decompress(packed).splitlines())}


def _control(languages: int, *, extended: bool) -> list[str]:
    """The names of the control tokens, without their <| and |>."""
    spoken = [*LANGUAGES, *(_MORE_LANGUAGES if extended else ())][:languages]
    before = (*_EVENTS, *_EMOTIONS) if extended else ()
    after = (*(f"SPECIAL_TOKEN_{number}" for number in range(1, 31)), *(f"TTS/{name}" for name in _VOCAL))
    stamps = (f"{step * 0.02:.2f}" for step in range(1501))
    return [
        "endoftext",
        "startoftranscript",
        *spoken,
        *before,
        *_TASKS,
        *(after if extended else ()),
        *stamps,
    ]
