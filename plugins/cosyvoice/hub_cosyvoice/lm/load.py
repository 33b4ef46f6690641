"""llm.pt -> the language model of its generation."""

from __future__ import annotations

from pathlib import Path

import torch

from hub.nn.layout import lay_out
from hub.nn.weights import CheckpointError, load_state, load_strict
from hub_cosyvoice.config import Config
from hub_cosyvoice.lm.conformer import ConformerLM, conformer_state
from hub_cosyvoice.lm.model import SpeechLM
from hub_cosyvoice.lm.qwen import QwenLM, QwenSizes, qwen_state


def load_lm(folder: Path, config: Config, device: torch.device, dtype: torch.dtype, file: str = "llm.pt") -> SpeechLM:
    """The model in `file` on `device`, in `dtype`. Raises CheckpointError or WorkerStartFailed."""
    state = load_state(folder / file)
    lm: SpeechLM
    with torch.device("meta"):
        if config.generation == 1:
            lm = ConformerLM(config.llm)
        else:
            lm = _empty_qwen(folder, config, file, {key: len(value) for key, value in state.items() if value.dim()})
    if config.generation == 1:
        renamed = conformer_state(state)
    else:
        assert isinstance(lm, QwenLM)
        renamed = qwen_state(state, config.generation, lm.speech_tokens)
    load_strict(lm, renamed, file)
    lm = lm.to(device=device, dtype=dtype).requires_grad_(False).eval()
    lay_out(lm, device)
    return lm


def _empty_qwen(folder: Path, config: Config, file: str, rows: dict[str, int]) -> QwenLM:
    """A QwenLM of the checkpoint's sizes; `rows` are the first axes of the tensors in `file`."""
    wanted = ("llm.model.model.embed_tokens.weight", "llm_decoder.weight")
    for key in wanted:
        if key not in rows:
            raise CheckpointError(f"{file} lacks {key}; it is of another model", file=file, key=key)
    speech_tokens = int(config.llm["speech_token_size"])
    marks = 3 if config.generation == 2 else 4
    if rows[wanted[1]] < speech_tokens + marks:
        raise CheckpointError(
            f"{file}: {wanted[1]} has {rows[wanted[1]]} rows, {config.file} asks for more than {speech_tokens}",
            file=file,
            key=wanted[1],
        )
    return QwenLM(
        QwenSizes.read(folder / "CosyVoice-BlankEN" / "config.json"),
        generation=config.generation,
        texts=rows[wanted[0]],
        speech_tokens=speech_tokens,
        vocabulary=rows[wanted[1]],
    )
