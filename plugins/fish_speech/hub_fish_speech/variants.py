"""The four generations of Fish Speech, and where their prompts, sampling and frames differ.

All of them have the same networks; the differences are conventions of each release's own inference code, and a model
speaks badly with the conventions of another release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["v1_4", "v1_5", "s1", "s2"]
MainPenalty = Literal["none", "row", "oldest_frame"]


@dataclass(frozen=True)
class Variant:
    """One generation.

    `code_shift` is added to a codec's code before the language model sees it (0 is then "no code"). With
    `samples_first_code` the fast transformer samples codebook 0 too; otherwise the main token stands for it.
    `fast_columns` limits the codes that can be sampled (0: all). `main_penalty` names the ids for which the main token
    is penalised: none, its own row of the window, or the window's oldest frame. `drops` is the frame that never reaches
    the codec. `max_length` bounds prompt and history of 1.x, in positions.
    """

    name: Name
    title: str
    chunk_length: int
    temperature: float
    top_p: float
    repetition_penalty: float
    top_k: int = 0
    code_shift: int = 0
    samples_first_code: bool = False
    fast_columns: int = 0
    main_penalty: MainPenalty = "none"
    repetition_aware: bool = False
    drops: Literal["first", "last"] = "last"
    max_length: int = 0
    dialogue: bool = False


V1_4 = Variant(
    name="v1_4",
    title="Fish Speech 1.4",
    chunk_length=200,
    temperature=0.7,
    top_p=0.7,
    repetition_penalty=1.2,
    code_shift=1,
    samples_first_code=True,
    max_length=4096,
)
V1_5 = Variant(
    name="v1_5",
    title="Fish Speech 1.5",
    chunk_length=200,
    temperature=0.7,
    top_p=0.7,
    repetition_penalty=1.2,
    main_penalty="row",
    drops="first",
    max_length=4096,
)
S1 = Variant(
    name="s1",
    title="OpenAudio S1 mini",
    chunk_length=512,
    temperature=0.8,
    top_p=0.8,
    repetition_penalty=1.1,
    fast_columns=1024,
    main_penalty="oldest_frame",
)
S2 = Variant(
    name="s2",
    title="S2 Pro",
    chunk_length=300,
    temperature=0.8,
    top_p=0.8,
    repetition_penalty=1.0,
    top_k=30,
    repetition_aware=True,
    dialogue=True,
)

VARIANTS: dict[str, Variant] = {variant.name: variant for variant in (V1_4, V1_5, S1, S2)}
