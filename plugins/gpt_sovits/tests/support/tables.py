"""Small pronunciation tables in the layout of a release's `GPT_SoVITS/text`."""

from __future__ import annotations

import pickle
from pathlib import Path

from hub_gpt_sovits.text.tables import CMU_FIRST_LINE

LINES = {
    "cmudict.rep": ["## a comment"] * (CMU_FIRST_LINE - 1) + ["HELLO  HH AH0 L OW1", "HUB  HH AH1 B", "RAIN  R EY1 N"],
    "cmudict-fast.rep": ["HUB X X X", "LIGHTHOUSE L AY1 T HH AW2 S", "BOW B OW1"],
    "engdict-hot.rep": ["RAIN R EH1 N"],
    "g2pw/polyphonic.rep": ["朝阳: ['chao2', 'yang2']", "地壳: ['di4', 'ke2']"],
    "polyphonic-fix.rep": ["地壳: ['di4', 'qiao4']"],
    "opencpop-strict.txt": ["a\tAA a"],
}
"""Some entries contradict each other, as in the official tables: hot wins over cmudict, fix over polyphonic."""

NAMES = {"anna": [["AE1", "N", "AH0"]]}


def write_tables(folder: Path) -> Path:
    """The tables in `folder`, which this makes."""
    for name, lines in LINES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "namedict_cache.pickle").write_bytes(pickle.dumps(NAMES))
    return folder
