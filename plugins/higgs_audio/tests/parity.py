"""Parity: the stages of the Higgs Audio cases, computed by the plugin's own parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hub_higgs_audio.context import Context
from hub_higgs_audio.generation import AudioColumn, Generation, Limits, expanded, prefill
from hub_higgs_audio.model.delay import apply_delay, revert_delay
from hub_higgs_audio.model.language import LanguageModel
from hub_higgs_audio.model.sampling import Delays, SamplingParams, SamplingTensors, delayed, next_column, warp
from hub_higgs_audio.prompt import Message, Prompt
from hub_higgs_audio.session import Session
from hub_higgs_audio.text.normalising import normalise, speaker_tags
from hub_higgs_audio.text.splitting import speaker_passages, word_passages
from torch import Tensor

from hub.nn.recording import Recording
from plugins.higgs_audio.tests.support.parity_checkpoint import (
    CPU,
    Arrays,
    Checkpoint,
    by_kind,
    codes_of,
    given_prompt,
    joined,
    opening,
    tensors,
)

FAMILY = "higgs_audio"
TRAINING: frozenset[str] = frozenset()

GREEDY = SamplingParams(temperature=0.0, ras_window=0)


def load(checkpoint: Path, case: dict[str, Any]) -> Checkpoint:
    """The checkpoint as `ttshub` would load it, in float32 on the CPU."""
    return Checkpoint.load(checkpoint)


# -- text -----------------------------------------------------------------------------------------


def normalisation(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    raw = [str(text) for text in inputs["in_text"]]
    return {
        "out_text": np.array([normalise(text) for text in raw]),
        "out_tags": np.array([",".join(speaker_tags(text)) for text in raw]),
    }


def splitting(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    text = str(inputs["in_text"])
    if scalars["chunk_method"] == "speaker":
        return {"out_chunks": np.array(speaker_passages(text, scalars["chunk_max_num_turns"]))}
    return {"out_chunks": np.array(word_passages(text, scalars["chunk_max_word_num"]))}


# -- codec ----------------------------------------------------------------------------------------


def ref_load(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    recording = Recording(inputs["in_wav"].mean(0), scalars["in_sample_rate"])
    return {"out_wav": recording.at_by_soxr(scalars["sample_rate"])}


def codec_stage(name: str, out: str) -> Callable[[Checkpoint, dict, Arrays], Arrays]:
    def stage(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
        (value,) = tensors(inputs).values()
        return {out: getattr(model.codec, name)(value).numpy()}

    return stage


def rvq_decode(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    with torch.inference_mode():
        quantized = model.codec.net.quantizer.decode(tensors(inputs)["codes"][None])
        return {"out_quantized": quantized.numpy(), "out_acoustic": model.codec.post(quantized).numpy()}


# -- delay pattern and sampling -------------------------------------------------------------------


def delay_apply(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    return {"out_ids": apply_delay(tensors(inputs)["codes"], scalars["bos"], scalars["eos"]).numpy()}


def delay_revert(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    return {"out_codes": revert_delay(tensors(inputs)["ids"], scalars["codebook_size"]).numpy()}


def params_of(given: dict[str, Any]) -> SamplingTensors:
    params = SamplingParams(
        given["temperature"],
        given["top_k"] or 0,
        1.0 if given["top_p"] is None else given["top_p"],
        given.get("ras_win_len") or 0,
        given.get("ras_win_max_num_repeat", 2),
    )
    return SamplingTensors.of(params, CPU)


def warp_logits(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    logits = tensors(inputs)["logits"]
    return {
        f"out_probs_{number}": warp(logits, params_of(given)).numpy()
        for number, given in enumerate(scalars["settings"])
    }


def sample_audio_step(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    given = tensors(inputs)
    tokenizer = model.tokenizer
    found: dict[str, list[Any]] = {name: [] for name in ("frame", "num_delay", "num_remaining", "text_id", "resampled")}
    for number, settings in enumerate(scalars["settings"]):
        history = given["history"][number]
        column = next_column(
            given["logits"][number],
            history,
            torch.tensor(history.shape[1]),
            Delays(given["num_delay"][number], given["num_remaining"][number]),
            params_of(settings),
            torch.stack([given["u"][number], given["u_ras"][number]]).double(),
            scalars["bos"],
            scalars["eos"],
        )
        found["frame"].append(column.ids)
        found["num_delay"].append(column.delays.begun)
        found["num_remaining"].append(column.delays.left)
        found["text_id"].append(torch.tensor(tokenizer.audio_eos if column.ended else tokenizer.audio_out))
        found["resampled"].append(column.redrawn.long())
    return {f"out_{name}": torch.stack(values).numpy() for name, values in found.items()}


def delay_eos(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    made: Arrays = {}
    for name, sampled in tensors(inputs).items():
        number = name.removeprefix("tokens_")
        delays = Delays.start(CPU)
        columns = [torch.full((sampled.shape[1],), scalars["bos"])]
        said = []
        for ids in sampled:
            ids, delays, ended = delayed(ids, delays, scalars["bos"], scalars["eos"])
            columns.append(ids)
            said.append(model.tokenizer.audio_eos if ended else model.tokenizer.audio_out)
            if ended:
                break
        frames = torch.stack(columns, 1)
        made[f"out_frames_{number}"] = frames[:, 1:].numpy()
        made[f"out_text_ids_{number}"] = np.array(said)
        made[f"out_codes_{number}"] = revert_delay(frames, model.codebook_size).numpy()
    return made


# -- prompts and the language model ---------------------------------------------------------------


def prompting(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    said = [*opening(scalars, scalars["text"], codes_of(inputs)), Message("user", [scalars["text"]])]
    prompt = model.prompts.build(said, forced_audio=False)
    ours, others = by_kind(model, prompt)
    out_ids, out_starts = joined(ours)
    in_ids, in_starts = joined(others)
    return {
        "out_input_ids": np.array(prompt.ids),
        "out_audio_out_ids": out_ids,
        "out_audio_out_starts": out_starts,
        "out_audio_in_ids": in_ids,
        "out_audio_in_starts": in_starts,
        "out_expanded_ids": np.array(expanded(model.tokenizer, prompt)[0]),
        "out_rendered": np.array(model.tokenizer.decode(prompt.ids)),
    }


def prefilled(model: Checkpoint, inputs: Arrays) -> tuple[Tensor, list[int]]:
    """The hidden states of a prompt, and its ids."""
    prompt = given_prompt(model, inputs)
    ids, _ = expanded(model.tokenizer, prompt)
    hidden, _ = prefill(model.language, model.tokenizer, prompt, Session(model.language, len(ids)))
    return hidden, ids


def audio_logits(model: Checkpoint, hidden: Tensor, ids: list[int]) -> np.ndarray:
    """The logits of all columns in messages of the assistant."""
    rows = [position for position, id in enumerate(ids) if id == model.tokenizer.audio_out]
    return model.language.audio_logits(hidden[rows]).numpy()


@torch.inference_mode()
def lm_prefill(model: Checkpoint, scalars: dict, inputs: Arrays, stage: dict[str, Any]) -> Arrays:
    hidden, ids = prefilled(model, inputs)
    made = {"out_hidden": hidden[-12:].numpy(), "out_text_logits": model.language.text_logits(hidden[-12:]).numpy()}
    if "out_audio_logits" in stage["out"]:
        made["out_audio_logits"] = audio_logits(model, hidden, ids)[-24:]
    return made


@torch.inference_mode()
def lm_teacher_forced(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    return {"out_audio_logits": audio_logits(model, *prefilled(model, inputs))}


class Watched(LanguageModel):
    """A language model that keeps the audio logits of its steps."""

    def __init__(self, model: LanguageModel) -> None:
        self.__dict__.update(model.__dict__)
        self.seen: list[Tensor] = []

    def audio_logits(self, hidden: Tensor) -> Tensor:
        logits = super().audio_logits(hidden)
        self.seen.append(logits[0].clone())
        return logits


def reply(model: Checkpoint, prompt: Prompt, limit: int) -> tuple[list[Any], list[Tensor]]:
    """A greedy reply's events, and the audio logits of each step."""
    watched = Watched(model.language)
    with model.machinery(watched).sessions.lend(model.prompts.length(prompt) + limit + 1) as session:
        limits = Limits(limit, only_audio=False)
        generation = Generation(watched, model.tokenizer, session, GREEDY, limits, seed=0, stop=threading.Event())
        return list(generation.run(prompt)), watched.seen


def columns_of(events: list[Any]) -> Tensor:
    return torch.stack([event.ids for event in events if isinstance(event, AudioColumn)], 1)


def generation(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    prompt = given_prompt(model, inputs)
    events, logits = reply(model, prompt, scalars["max_new_tokens"])
    text: list[int] = []
    for event in events:
        if not isinstance(event, AudioColumn):
            text.append(event.id)
        elif event.last:
            text.append(model.tokenizer.audio_eos)
    columns = columns_of(events)
    return {
        "out_text_ids": np.array(text),
        "out_audio_ids": columns.numpy(),
        "out_codes": revert_delay(columns, model.codebook_size).numpy(),
        "out_step_logits": torch.stack(logits[:6]).numpy(),
    }


def streaming(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    events, _ = reply(model, given_prompt(model, inputs), scalars["max_new_tokens"])
    return {
        "out_kind": np.array([int(isinstance(event, AudioColumn)) for event in events]),
        "out_text_ids": np.array([event.id for event in events if not isinstance(event, AudioColumn)]),
        "out_frames": columns_of(events).numpy(),
    }


def context_of(model: Checkpoint, scalars: dict, messages: list[Message]) -> Context:
    keep = scalars.get("generation_chunk_buffer_size")
    return Context(model.machinery(), messages, GREEDY, threading.Event(), keep=keep, forced_audio=False)


def codes_said(model: Checkpoint, context: Context, text: str, limit: int) -> Tensor:
    events = list(context.generate(text, Limits(limit, only_audio=False), seed=0))
    parts: list[list[Tensor]] = []
    for event in events:
        if not isinstance(event, AudioColumn):
            continue
        if bool((event.ids == model.language.sizes.bos).all()):
            parts.append([])
        parts[-1].append(event.ids)
    reverted = [revert_delay(torch.stack(part, 1), model.codebook_size) for part in parts]
    return torch.cat(reverted, 1)


def long_text(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    passages = [str(passage) for passage in inputs["in_chunks"]]
    context = context_of(model, scalars, opening(scalars, "\n".join(passages), codes_of(inputs)))
    made: Arrays = {}
    codes = []
    context.compute_opening()
    for number, passage in enumerate(passages):
        prompt = context.prompt(passage)
        made[f"out_input_ids_{number}"] = np.array(prompt.ids)
        made[f"out_audio_out_starts_{number}"] = joined(prompt.audios)[1]
        codes.append(codes_said(model, context, passage, scalars["max_new_tokens"]))
        made[f"out_codes_{number}"] = codes[-1].numpy()
        context.remember(passage, codes[-1])
    whole = torch.cat(codes, 1)
    return {**made, "out_codes": whole.numpy(), "out_wav": model.codec.decode(whole).numpy()}


def end_to_end(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    text = normalise(str(inputs["in_text"]))
    waves = [torch.from_numpy(inputs[name]) for name in sorted(inputs) if name.startswith("in_ref_wav_")]
    context = context_of(model, scalars, opening(scalars, text, [model.codec.encode(wave) for wave in waves]))
    codes = codes_said(model, context, text, scalars["max_new_tokens"])
    return {"out_codes": codes.numpy(), "out_wav": model.codec.decode(codes).numpy()}


def embed_audio(model: Checkpoint, scalars: dict, inputs: Arrays) -> Arrays:
    return {"out_embeds": model.language.embed_audio(tensors(inputs)["ids"]).numpy()}


STAGES: dict[str, Callable[..., Arrays]] = {
    "normalize": normalisation,
    "chunk_*": splitting,
    "ref_load": ref_load,
    "resample_16k": codec_stage("semantic_input", "out_wav"),
    "semantic_features": codec_stage("features", "out_features"),
    "semantic_encoder": codec_stage("semantic", "out_semantic"),
    "acoustic_encoder": codec_stage("acoustic", "out_acoustic"),
    "quantize": codec_stage("quantize", "out_codes"),
    "codec_encode_*": codec_stage("encode", "out_codes"),
    "rvq_decode": rvq_decode,
    "codec_decode": codec_stage("decode", "out_wav"),
    "delay_apply": delay_apply,
    "delay_revert": delay_revert,
    "embed_audio": embed_audio,
    "prompt_*": prompting,
    "lm_prefill_*": lm_prefill,
    "lm_teacher_forced": lm_teacher_forced,
    "gen_*": generation,
    "warp_logits": warp_logits,
    "sample_audio_step": sample_audio_step,
    "delay_eos": delay_eos,
    "stream_*": streaming,
    "long_*": long_text,
    "e2e_*": end_to_end,
}
