"""Parity: the stages of the Higgs Audio cases, computed by the plugin's own parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hub_higgs_audio.checkpoint import load_codec, load_language, load_tokens
from hub_higgs_audio.chunking import speaker_chunks, word_chunks
from hub_higgs_audio.layout import find_codec, find_language
from hub_higgs_audio.model.codec import Codec
from hub_higgs_audio.model.delay import apply_delay, revert_delay
from hub_higgs_audio.model.generate import AudioColumn, Generation, Limits, expanded, make_step, prefill
from hub_higgs_audio.model.language import LanguageModel
from hub_higgs_audio.model.sampling import Delays, Knobs, Settings, delayed, next_column, warp
from hub_higgs_audio.model.slots import Slot, Slots
from hub_higgs_audio.normalise import normalise, speaker_tags
from hub_higgs_audio.prompt import Message, Prompt, PromptBuilder, Speaker, frame
from hub_higgs_audio.references import resampled
from hub_higgs_audio.story import Engine, Story
from hub_higgs_audio.tokens import Tokens
from torch import Tensor

FAMILY = "higgs_audio"
TRAINING: frozenset[str] = frozenset()

Arrays = dict[str, np.ndarray]
GREEDY = Settings(temperature=0.0, ras_window=0)
ENDLESS = 1 << 20
CPU = torch.device("cpu")


@dataclass
class Loaded:
    """A checkpoint's parts. The codec is loaded by the first stage that needs it: a case may come without one."""

    path: Path
    language: LanguageModel
    tokens: Tokens

    @cached_property
    def codec(self) -> Codec:
        return load_codec(find_codec(str(self.path)), CPU)

    @property
    def codebook_size(self) -> int:
        return self.language.sizes.codebook_size

    @property
    def prompts(self) -> PromptBuilder:
        return PromptBuilder(self.tokens, self.language.sizes)

    @property
    def engine(self) -> Engine:
        return Engine(self.language, self.tokens, Slots(self.language, make_step, keep=0), ENDLESS)


def load(checkpoint: Path, case: dict[str, Any]) -> Loaded:
    """The checkpoint as `ttshub` would load it, in float32 on the CPU."""
    part = find_language(str(checkpoint))
    return Loaded(checkpoint, load_language(part, CPU, torch.float32), load_tokens(part))


def tensors(inputs: Arrays) -> dict[str, Tensor]:
    """The numeric inputs, without their `in_`."""
    return {
        name.removeprefix("in_"): torch.from_numpy(value)
        for name, value in inputs.items()
        if value.dtype.kind in "iufb"
    }


def texts(values: Any) -> np.ndarray:
    return np.array(values)


# -- text -----------------------------------------------------------------------------------------


def normalisation(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    raw = [str(text) for text in inputs["in_text"]]
    return {
        "out_text": texts([normalise(text) for text in raw]),
        "out_tags": texts([",".join(speaker_tags(text)) for text in raw]),
    }


def chunking(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    text = str(inputs["in_text"])
    if scalars["chunk_method"] == "speaker":
        return {"out_chunks": texts(speaker_chunks(text, scalars["chunk_max_num_turns"]))}
    return {"out_chunks": texts(word_chunks(text, scalars["chunk_max_word_num"]))}


# -- codec ----------------------------------------------------------------------------------------


def ref_load(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    wave = resampled(inputs["in_wav"].mean(0), scalars["in_sample_rate"], scalars["sample_rate"])
    return {"out_wav": wave}


def codec_stage(name: str, out: str) -> Callable[[Loaded, dict, Arrays], Arrays]:
    def stage(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
        (value,) = tensors(inputs).values()
        return {out: getattr(model.codec, name)(value).numpy()}

    return stage


def rvq_decode(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    with torch.inference_mode():
        quantized = model.codec.net.quantizer.decode(tensors(inputs)["codes"][None])
        return {"out_quantized": quantized.numpy(), "out_acoustic": model.codec.post(quantized).numpy()}


# -- delay pattern and sampling -------------------------------------------------------------------


def delay_apply(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    return {"out_ids": apply_delay(tensors(inputs)["codes"], scalars["bos"], scalars["eos"]).numpy()}


def delay_revert(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    return {"out_codes": revert_delay(tensors(inputs)["ids"], scalars["codebook_size"]).numpy()}


def settings_of(given: dict[str, Any]) -> Settings:
    return Settings(
        given["temperature"],
        given["top_k"] or 0,
        1.0 if given["top_p"] is None else given["top_p"],
        given.get("ras_win_len") or 0,
        given.get("ras_win_max_num_repeat", 2),
    )


def warp_logits(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    logits = tensors(inputs)["logits"]
    return {
        f"out_probs_{number}": warp(logits, Knobs.of(settings_of(given), CPU)).numpy()
        for number, given in enumerate(scalars["settings"])
    }


def sample_audio_step(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    given = tensors(inputs)
    found: dict[str, list[Any]] = {name: [] for name in ("frame", "num_delay", "num_remaining", "text_id", "resampled")}
    for number, settings in enumerate(scalars["settings"]):
        history = given["history"][number]
        column = next_column(
            given["logits"][number],
            history,
            torch.tensor(history.shape[1]),
            Delays(given["num_delay"][number], given["num_remaining"][number]),
            Knobs.of(settings_of(settings), CPU),
            torch.stack([given["u"][number], given["u_ras"][number]]).double(),
            scalars["bos"],
            scalars["eos"],
        )
        found["frame"].append(column.ids)
        found["num_delay"].append(column.delays.begun)
        found["num_remaining"].append(column.delays.left)
        found["text_id"].append(torch.tensor(model.tokens.audio_eos if column.ended else model.tokens.audio_out))
        found["resampled"].append(column.redrawn.long())
    return {f"out_{name}": torch.stack(values).numpy() for name, values in found.items()}


def delay_eos(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    made: Arrays = {}
    for name, sampled in tensors(inputs).items():
        number = name.removeprefix("tokens_")
        delays = Delays.start(CPU)
        columns = [torch.full((sampled.shape[1],), scalars["bos"])]
        said = []
        for ids in sampled:
            ids, delays, ended = delayed(ids, delays, scalars["bos"], scalars["eos"])
            columns.append(ids)
            said.append(model.tokens.audio_eos if ended else model.tokens.audio_out)
            if ended:
                break
        frames = torch.stack(columns, 1)
        made[f"out_frames_{number}"] = frames[:, 1:].numpy()
        made[f"out_text_ids_{number}"] = np.array(said)
        made[f"out_codes_{number}"] = revert_delay(frames, model.codebook_size).numpy()
    return made


# -- prompts and the language model ---------------------------------------------------------------


def references(scalars: dict, codes: list[Tensor]) -> list[Speaker]:
    """The speakers that boson's `ref_audio` names."""
    speakers = []
    recordings = iter(zip(codes, scalars["ref_texts"], strict=True))
    for name in (scalars["ref_audio"] or "").split(",") if scalars["ref_audio"] else []:
        if name.startswith("profile:"):
            speakers.append(Speaker(description=scalars["profile_text"]))
        else:
            speakers.append(Speaker(recordings=(next(recordings),)))
    return speakers


def messages(scalars: dict, text: str, codes: list[Tensor]) -> list[Message]:
    speakers = references(scalars, codes)
    return frame(scalars["scene"], speakers, speaker_tags(text), in_system=scalars["ref_audio_in_system_message"])


def codes_of(inputs: Arrays) -> list[Tensor]:
    count = sum(name.startswith("in_ref_codes_") for name in inputs)
    return [torch.from_numpy(inputs[f"in_ref_codes_{number}"]) for number in range(count)]


def joined(audios: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Columns of several audios side by side, and where each begins."""
    if not audios:
        return np.zeros((0, 0), np.int64), np.zeros(0, np.int64)
    starts = np.cumsum([0, *(audio.shape[1] for audio in audios[:-1])])
    return torch.cat(audios, 1).numpy(), starts


def by_kind(model: Loaded, prompt: Prompt) -> tuple[list[Tensor], list[Tensor]]:
    """The prompt's audio of assistant turns, and of others."""
    tokens = model.tokens
    kinds = [id for id in prompt.ids if id in (tokens.audio, tokens.audio_out)]
    paired = list(zip(kinds, prompt.audios, strict=True))
    return (
        [audio for kind, audio in paired if kind == tokens.audio_out],
        [audio for kind, audio in paired if kind == tokens.audio],
    )


def prompting(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    said = [*messages(scalars, scalars["text"], codes_of(inputs)), Message("user", [scalars["text"]])]
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
        "out_expanded_ids": np.array(expanded(model.tokens, prompt)[0]),
        "out_rendered": texts(model.tokens.decode(prompt.ids)),
    }


def given_prompt(model: Loaded, inputs: Arrays) -> Prompt:
    """The prompt that a stage gives as arrays."""
    given = tensors(inputs)
    audios: dict[int, list[Tensor]] = {}
    for kind, id in (("out", model.tokens.audio_out), ("in", model.tokens.audio)):
        starts = given[f"audio_{kind}_starts"].tolist()
        columns = given[f"audio_{kind}_ids"]
        ends = [*starts[1:], columns.shape[1]]
        audios[id] = [columns[:, start:end] for start, end in zip(starts, ends, strict=False)]
    ids = given["input_ids"].tolist()
    return Prompt(ids, [audios[id].pop(0) for id in ids if id in audios])


@torch.inference_mode()
def lm_prefill(model: Loaded, scalars: dict, inputs: Arrays, stage: dict[str, Any]) -> Arrays:
    prompt = given_prompt(model, inputs)
    ids, _ = expanded(model.tokens, prompt)
    hidden, _ = prefill(model.language, model.tokens, prompt, Slot(model.language, len(ids)))
    made = {"out_hidden": hidden[-12:].numpy(), "out_text_logits": model.language.text_logits(hidden[-12:]).numpy()}
    if "out_audio_logits" in stage["out"]:
        made["out_audio_logits"] = audio_logits(model, hidden, ids)[-24:]
    return made


def audio_logits(model: Loaded, hidden: Tensor, ids: list[int]) -> np.ndarray:
    """Of all columns of assistant turns."""
    rows = [place for place, id in enumerate(ids) if id == model.tokens.audio_out]
    return model.language.audio_logits(hidden[rows]).numpy()


@torch.inference_mode()
def lm_teacher_forced(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    prompt = given_prompt(model, inputs)
    ids, _ = expanded(model.tokens, prompt)
    hidden, _ = prefill(model.language, model.tokens, prompt, Slot(model.language, len(ids)))
    return {"out_audio_logits": audio_logits(model, hidden, ids)}


class Watched(LanguageModel):
    """A language model that keeps the audio logits of its first steps."""

    def __init__(self, model: LanguageModel) -> None:
        self.__dict__.update(model.__dict__)
        self.seen: list[Tensor] = []

    def audio_logits(self, hidden: Tensor) -> Tensor:
        logits = super().audio_logits(hidden)
        self.seen.append(logits[0].clone())
        return logits


def reply(model: Loaded, prompt: Prompt, limit: int) -> tuple[list[Any], list[Tensor]]:
    """A greedy reply's events, and the audio logits of each step."""
    watched = Watched(model.language)
    engine = Engine(watched, model.tokens, Slots(watched, make_step, keep=0), ENDLESS)
    with engine.slots.lend(model.prompts.length(prompt) + limit + 1) as slot:
        limits = Limits(limit, only_audio=False)
        generation = Generation(watched, model.tokens, slot, GREEDY, limits, seed=0, stop=threading.Event())
        return list(generation.run(prompt)), watched.seen


def columns_of(events: list[Any]) -> Tensor:
    return torch.stack([event.ids for event in events if isinstance(event, AudioColumn)], 1)


def generation(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    prompt = given_prompt(model, inputs)
    events, logits = reply(model, prompt, scalars["max_new_tokens"])
    text: list[int] = []
    for event in events:
        if not isinstance(event, AudioColumn):
            text.append(event.id)
        elif event.last:
            text.append(model.tokens.audio_eos)
    columns = columns_of(events)
    return {
        "out_text_ids": np.array(text),
        "out_audio_ids": columns.numpy(),
        "out_codes": revert_delay(columns, model.codebook_size).numpy(),
        "out_step_logits": torch.stack(logits[:6]).numpy(),
    }


def streaming(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    events, _ = reply(model, given_prompt(model, inputs), scalars["max_new_tokens"])
    return {
        "out_kind": np.array([int(isinstance(event, AudioColumn)) for event in events]),
        "out_text_ids": np.array([event.id for event in events if not isinstance(event, AudioColumn)]),
        "out_frames": columns_of(events).numpy(),
    }


def story(model: Loaded, scalars: dict, said: list[Message]) -> Story:
    return Story(
        model.engine,
        said,
        GREEDY,
        threading.Event(),
        keep=scalars.get("generation_chunk_buffer_size"),
        forced_audio=False,
    )


def codes_said(model: Loaded, told: Story, text: str, limit: int) -> Tensor:
    events = list(told.generate(text, Limits(limit, only_audio=False), seed=0))
    parts: list[list[Tensor]] = []
    for event in events:
        if not isinstance(event, AudioColumn):
            continue
        if bool((event.ids == model.language.sizes.bos).all()):
            parts.append([])
        parts[-1].append(event.ids)
    reverted = [revert_delay(torch.stack(part, 1), model.codebook_size) for part in parts]
    return torch.cat(reverted, 1)


def long_text(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    chunks = [str(chunk) for chunk in inputs["in_chunks"]]
    told = story(model, scalars, messages(scalars, "\n".join(chunks), codes_of(inputs)))
    made: Arrays = {}
    codes = []
    told.remember_frame()
    for number, chunk in enumerate(chunks):
        prompt = told.prompt(chunk)
        made[f"out_input_ids_{number}"] = np.array(prompt.ids)
        made[f"out_audio_out_starts_{number}"] = joined(prompt.audios)[1]
        codes.append(codes_said(model, told, chunk, scalars["max_new_tokens"]))
        made[f"out_codes_{number}"] = codes[-1].numpy()
        told.told(chunk, codes[-1])
    whole = torch.cat(codes, 1)
    return {**made, "out_codes": whole.numpy(), "out_wav": model.codec.decode(whole).numpy()}


def end_to_end(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    text = normalise(str(inputs["in_text"]))
    waves = [torch.from_numpy(inputs[name]) for name in sorted(inputs) if name.startswith("in_ref_wav_")]
    told = story(model, scalars, messages(scalars, text, [model.codec.encode(wave) for wave in waves]))
    codes = codes_said(model, told, text, scalars["max_new_tokens"])
    return {"out_codes": codes.numpy(), "out_wav": model.codec.decode(codes).numpy()}


def embed_audio(model: Loaded, scalars: dict, inputs: Arrays) -> Arrays:
    return {"out_embeds": model.language.embed_audio(tensors(inputs)["ids"]).numpy()}


STAGES: dict[str, Callable[..., Arrays]] = {
    "normalize": normalisation,
    "chunk_*": chunking,
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
