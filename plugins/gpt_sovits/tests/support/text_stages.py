"""The stages of text for the parity runner."""

from __future__ import annotations

from typing import Any

import numpy as np
from hub_gpt_sovits.text import METHODS, TextFrontend
from hub_gpt_sovits.text.cut import lines_of

from plugins.gpt_sovits.tests.support.dictionary import provide_dictionary

Arrays = dict[str, np.ndarray]


def _texts(arrays: Arrays) -> list[tuple[str, str]]:
    return list(zip(arrays["in_text"].tolist(), arrays["in_lang"].tolist(), strict=True))


def text_split(model: Any, scalars: dict, arrays: Arrays) -> Arrays:
    text = str(arrays["in_text"].reshape(-1)[0])
    lines = {f"out_{name}": np.array(method(text).split("\n")) for name, method in METHODS.items()}
    return lines | {f"out_seg_{name}": np.array(lines_of(text, "zh", name)) for name in METHODS}


def _phones(frontend: TextFrontend, version: str, arrays: Arrays) -> Arrays:
    found: Arrays = {}
    norms = []
    for number, (text, language) in enumerate(_texts(arrays)):
        run = frontend.run(text, language, version)
        found[f"out_ids_{number}"] = np.array(run.ids)
        if run.word2ph is not None:
            found[f"out_word2ph_{number}"] = np.array(run.word2ph)
        norms.append(run.norm)
    return found | {"out_norm": np.array(norms)}


def phones(model: Any, scalars: dict, arrays: Arrays) -> Arrays:
    if "ja" in arrays["in_lang"]:
        provide_dictionary()
    return _phones(model.frontend, model.acoustics.symbols, arrays)


def phones_zh_pypinyin(model: Any, scalars: dict, arrays: Arrays) -> Arrays:
    return _phones(TextFrontend(model.frontend.tables.folder), model.acoustics.symbols, arrays)


def phones_mixed(model: Any, scalars: dict, arrays: Arrays) -> Arrays:
    provide_dictionary()
    found: Arrays = {}
    norms = []
    for number, (text, language) in enumerate(_texts(arrays)):
        runs = model.frontend.read(text, language, model.acoustics.symbols)
        found[f"out_ids_{number}"] = np.array([phone for run in runs for phone in run.ids])
        found[f"out_bert_{number}"] = model.machinery.voices.bert_features(runs).numpy()
        norms.append("".join(run.norm for run in runs))
    return found | {"out_norm": np.array(norms)}


TEXT_STAGES = {
    "text_split": text_split,
    "phones_zh_pypinyin": phones_zh_pypinyin,
    "phones_mixed": phones_mixed,
    **{f"phones_{language}": phones for language in ("zh", "en", "ja", "ko", "yue")},
}
