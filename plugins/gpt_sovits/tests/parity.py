"""GPT-SoVITS for the parity runner: stage name -> the function that computes it with the plugin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hub_gpt_sovits.rendering import Manner
from hub_gpt_sovits.speaking import Parameters, Speaking
from hub_gpt_sovits.voices import ClonedVoice, MainReference

from plugins.gpt_sovits.tests.support.sound_stages import SOUND_STAGES
from plugins.gpt_sovits.tests.support.stages import Arrays, Given, Model, Stage, load, wav_bytes
from plugins.gpt_sovits.tests.support.text_stages import TEXT_STAGES
from plugins.gpt_sovits.tests.support.token_stages import TOKEN_STAGES, choice_of, no_draws

FAMILY = "gpt_sovits"
TRAINING = frozenset({"s1_loss", "s1_loss_uneven", "s2_step"})

__all__ = ["FAMILY", "STAGES", "TRAINING", "load"]


def _request(model: Model, scalars: dict, arrays: Arrays) -> tuple[ClonedVoice, Parameters, str]:
    def text(name: str) -> str:
        return str(np.atleast_1d(arrays[name])[0]) if name in arrays and arrays[name].size else ""

    recording = wav_bytes(arrays["in_audio"], scalars["sample_rate"])
    main = MainReference(recording, text("in_prompt_text"), scalars["prompt_lang"])
    aux = [wav_bytes(arrays["in_aux_audio"], scalars["aux_sample_rate"])] if "in_aux_audio" in arrays else []
    parameters = Parameters(
        choice=choice_of(scalars),
        manner=Manner(scalars.get("speed_factor", 1.0), scalars["sample_steps"], scalars.get("parallel_infer", True)),
        language=scalars.get("text_lang", "zh"),
        cut=scalars["text_split_method"],
        batch_size=scalars.get("batch_size", 1),
        batch_threshold=scalars.get("batch_threshold", 0.75),
        split_bucket=scalars.get("split_bucket", True),
        chunk=scalars.get("min_chunk_length", 16),
        overlap=scalars.get("overlap_length", 2),
    )
    return model.machinery.voices.voice(main, aux, model.acoustics), parameters, text("in_text")


def _speaking(model: Model, voice: ClonedVoice, parameters: Parameters, arrays: Arrays) -> Speaking:
    pair = model.machinery.pair()
    return Speaking(model.machinery, pair, voice, parameters, noise=Given(arrays), draws=no_draws)


def e2e(model: Model, scalars: dict, arrays: Arrays, stage: dict) -> Arrays:
    voice, parameters, text = _request(model, scalars, {**arrays, **_left_over(model, stage)})
    pieces = _speaking(model, voice, parameters, arrays).by_batches(text)
    rate = model.acoustics.spectrum[0]  # upstream counts at S2's own rate, whatever the vocoder's
    silence = np.zeros(int(rate * scalars["fragment_interval"]), np.float32)
    waves = [np.concatenate([piece.wave, silence]) for piece in pieces]
    return {"out_audio": _int16(np.concatenate(waves))}


def _left_over(model: Model, stage: dict) -> Arrays:
    """An input that two stages used and do not name: the auxiliary reference of the stage before them.

    The cases were recorded one request after the other in one process, and the second reference of `e2e_en_speed` still
    counted in the two that follow. With it their results are equal to the last digit, and without it they are not.
    """
    recorded = model.folder / "e2e_en_speed.npz"
    if stage["name"] not in ("e2e_no_prompt", "e2e_naive") or not recorded.is_file():
        return {}
    with np.load(recorded) as before:
        return {"in_aux_audio": before["in_aux_audio"]} if "in_aux_audio" in before.files else {}


def stream_mode(model: Model, scalars: dict, arrays: Arrays, stage: dict) -> Arrays:
    voice, parameters, text = _request(model, scalars, arrays)
    parameters = replace(parameters, streaming=2 if stage["name"].endswith("2") else 3, as_upstream=True)
    chunks: list[np.ndarray] = []
    rate = scalars["sample_rate_out"]
    for piece in _speaking(model, voice, parameters, arrays).by_tokens(text):
        chunks.append(_int16(piece.wave))
        if piece.last:
            chunks.append(np.zeros(int(rate * scalars["fragment_interval"]), np.int16))
    return {f"out_chunk_{number}": chunk for number, chunk in enumerate(chunks)}


def _int16(wave: np.ndarray) -> np.ndarray:
    """16-bit samples by truncation, as upstream. +1.0 wraps round; nothing in the cases is that loud."""
    return (wave * 32768).astype(np.int16)


STAGES: dict[str, Stage] = {
    **TEXT_STAGES,
    **TOKEN_STAGES,
    **SOUND_STAGES,
    "stream_mode*": stream_mode,
    "e2e*": e2e,
}
