"""Parity adapter: computes the stages of fish_speech cases. `load` reads a checkpoint as a release is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from hub_fish_speech.checkpoint.codec import load_codec
from hub_fish_speech.checkpoint.language_model import LanguageModel, load_language_model
from hub_fish_speech.model.codec.codec import Codec
from hub_fish_speech.model.transformer import make_cache
from hub_fish_speech.prompt import Example, Past, Prompter
from hub_fish_speech.sampling import Draws, pick, pick_aware, probabilities
from hub_fish_speech.session import Noise, RequestNoise, Session
from hub_fish_speech.text.cleaning import clean_text
from hub_fish_speech.text.dialogue import pack_turns, tagged_turns
from hub_fish_speech.text.splitting import split_text
from hub_fish_speech.voices import read_wave
from torch import Tensor

from plugins.fish_speech.tests.support.codec_stages import CODEC_STAGES

Arrays = dict[str, npt.NDArray[Any]]
Stage = Callable[["Model", dict[str, Any], Arrays], Arrays]

FAMILY = "fish_speech"
TRAINING: frozenset[str] = frozenset()


class Model(NamedTuple):
    """A loaded checkpoint."""

    language: LanguageModel
    prompter: Prompter
    codec: Codec

    def session(self) -> Session:
        return Session(self.language)

    def draws(self, scalars: dict[str, Any]) -> Draws:
        return Draws(
            scalars["temperature"], scalars["top_p"], scalars.get("repetition_penalty", 1.0), scalars.get("top_k")
        )

    def frames(self, prompt: Tensor, scalars: dict[str, Any], noise: Noise | None = None) -> Tensor:
        """All frames (1 + C, N) after `prompt`, as the vendor's code runs on."""
        noise = noise or RequestNoise(torch.Generator())
        limit = scalars["max_new_tokens"] or self.language.positions
        blocks = self.session().frames(prompt, self.draws(scalars), noise, limit, ends_at_first=False)
        return torch.cat(list(blocks), 1)


def load(checkpoint: Path, case: dict[str, Any]) -> Model:
    """The model in `checkpoint`, on the CPU in float32."""
    cpu = torch.device("cpu")
    language = load_language_model(checkpoint, cpu, torch.float32)
    assert language.variant.name == case["variant"]
    prompter = Prompter(language.variant, language.tokenizer, language.config.codebooks)
    return Model(language, prompter, load_codec(checkpoint, cpu))


class GivenNoise:
    """A case's noise, frame by frame."""

    def __init__(self, model: Model, *parts: npt.NDArray[np.float32]) -> None:
        *main, fast = (torch.from_numpy(part) for part in parts)
        tokens = model.language.model.main_tokens
        self._main = [part[:, tokens] for part in main]
        self._fast = fast
        self._frame = 0

    def fill(self, main: Tensor, again: Tensor, fast: Tensor) -> None:
        main.copy_(self._main[0][self._frame])
        if again.numel():
            again.copy_(self._main[1][self._frame])
        fast.copy_(self._fast[self._frame])
        self._frame += 1


def _ids(*found: Iterable[int]) -> Arrays:
    return {f"out_ids_{number}": np.asarray(list(ids), np.int64) for number, ids in enumerate(found)}


def _words(value: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), np.uint8)


def _examples(scalars: dict[str, Any], inputs: Arrays) -> list[Example]:
    texts = scalars.get("ref_texts", [])
    return [Example(text, torch.from_numpy(inputs[f"in_codes_{number}"])) for number, text in enumerate(texts)]


def tokenize(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return _ids(*(model.language.tokenizer.encode(text) for text in scalars["texts"]))


def split(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    variant = model.language.variant
    found = {}
    for number, (text, limit) in enumerate(zip(scalars["texts"], scalars["chunk_length"], strict=True)):
        found[f"out_clean_{number}"] = _words(clean_text(text, variant))
        found[f"out_segments_{number}"] = _words(split_text(text, limit, variant))
    return found


def turns(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    found = {}
    for number, (text, limit) in enumerate(zip(scalars["texts"], scalars["chunk_length"], strict=True)):
        parts = [text[turn.start : turn.end].strip() for turn in tagged_turns(text)]
        found[f"out_turns_{number}"] = _words(parts)
        found[f"out_batches_{number}"] = _words(pack_turns(parts, limit) if parts else [text])
    return found


def prompt(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_ids": model.prompter.prompt(scalars["text"], _examples(scalars, inputs)).numpy()}


def prompt_cli(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_ids": model.prompter.prompt(scalars["text"], system=False).numpy()}


def prompt_run(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Segments that are spoken one after the other, each prompted with those before it."""
    found: Arrays = {}
    history: list[Past] = []
    for number, text in enumerate(scalars.get("segments") or scalars["batches"]):
        ids = model.prompter.prompt(
            text, _examples(scalars, inputs), history, max_length=scalars.get("max_length", 2048)
        )
        frames = model.frames(ids, scalars)
        history.append(Past(text, frames))
        found |= {f"out_ids_{number}": ids.numpy(), f"out_frames_{number}": frames.numpy()}
    return found


def prefill(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    network = model.language.model
    hidden = model.session().read(torch.from_numpy(inputs["in_ids"]))
    normed = network.norm(hidden)
    return {
        "out_logits": (normed[-1] @ network.output_matrix.T).numpy(),
        "out_hidden": (normed if network.config.fast_reads_normed else hidden).numpy(),
        "out_fast_in": network.fast_input(hidden[-1:]).numpy(),
    }


def fast(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    codes = torch.from_numpy(inputs["in_codes"])[: model.language.config.codebooks - 1].long()
    return {"out_logits": _fast_logits(model, torch.from_numpy(inputs["in_fast"]), codes).numpy()}


def _fast_logits(model: Model, x: Tensor, codes: Tensor) -> Tensor:
    """All logits (C, K) of one frame, its codes given."""
    network = model.language.model
    config = network.config
    cache = make_cache(config.fast, config.codebooks, network.device, network.dtype)
    with torch.inference_mode():
        x = torch.cat([x.reshape(1, -1), network.fast_embeddings(codes.reshape(-1))])
        hidden = torch.cat([network.fast_hidden(row[None], position, cache) for position, row in enumerate(x)])
        return network.fast_norm(hidden) @ network.fast_output.weight.T


def generate(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    frames = model.frames(torch.from_numpy(inputs["in_ids"]), scalars)
    return {"out_frames": frames.numpy(), "out_codes": model.prompter.kept(frames).numpy()}


def generate_sampled(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    parts = [inputs[name] for name in ("in_noise_main", "in_noise_main_high", "in_noise_fast") if name in inputs]
    noise = GivenNoise(model, *parts)
    return {"out_frames": model.frames(torch.from_numpy(inputs["in_ids"]), scalars, noise).numpy()}


def decode_logits(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Teacher-forced: every further frame is read on top of what the cache holds."""
    network, session = model.language.model, model.session()
    ids, frames = torch.from_numpy(inputs["in_ids"]), torch.from_numpy(inputs["in_frames"])
    session.reserve(ids.shape[1] + frames.shape[1])
    main, rest = [], []
    for number in range(frames.shape[1]):
        hidden = session.read(torch.cat([ids, frames[:, :number]], 1))[-1:]
        main.append(network.norm(hidden)[0] @ network.output_matrix.T)
        codes = frames[1:-1, number]
        asked = 0 if model.language.variant.samples_first_code else 1
        rest.append(_fast_logits(model, network.fast_input(hidden), codes)[asked:, : network.fast_columns])
    return {"out_main": torch.stack(main).numpy(), "out_fast": torch.stack(rest).numpy()}


def sampling(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    logits, noise = torch.from_numpy(inputs["in_logits"]), torch.from_numpy(inputs["in_noise"])
    chosen, tokens = [], []
    for row in range(len(logits)):
        one = {name: value[row] if isinstance(value, list) else value for name, value in scalars.items()}
        previous = torch.from_numpy(inputs["in_previous"][row]) if "in_previous" in inputs else None
        chosen.append(probabilities(logits[row], model.draws(one), previous))
        tokens.append(pick(logits[row], model.draws(one), noise[row], previous))
    return {"out_probs": torch.stack(chosen).numpy(), "out_tokens": torch.stack(tokens).numpy()}


def ras(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    begin, end, im_end = (scalars[name] for name in ("semantic_begin_id", "semantic_end_id", "im_end_id"))
    ids = torch.tensor(sorted({im_end, *range(begin, end + 1)}))
    audio = (ids >= begin) & (ids <= end)
    tokens = []
    for logits, previous, first, second in zip(
        *(torch.from_numpy(part) for part in (inputs["in_logits"], inputs["in_previous"], *inputs["in_noise"])),
        strict=True,
    ):
        tokens.append(
            pick_aware(
                logits[ids],
                model.draws(scalars),
                first[ids],
                second[ids],
                ids=ids,
                recent=previous,
                audio=audio,
            )
        )
    return {"out_tokens": torch.stack(tokens).numpy()}


def reference_audio(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_audio": read_wave(inputs["in_wav"].tobytes(), scalars["sample_rate"]).numpy()}


def reference_codes(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    wave = read_wave(inputs["in_wav"].tobytes(), model.codec.sample_rate)
    return {"out_codes": model.codec.encode(wave).numpy()}


def e2e(model: Model, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Recordings and text -> codes of every segment, and their sound joined."""
    texts = scalars.get("ref_texts") or [text for text in (scalars.get("ref_text"),) if text is not None]
    recordings = [value for name, value in sorted(inputs.items()) if name.startswith("in_wav")]
    found: Arrays = {}
    references: list[Example] = []
    for number, (text, recording) in enumerate(zip(texts, recordings, strict=True)):
        codes = model.codec.encode(read_wave(recording.tobytes(), model.codec.sample_rate))
        references.append(Example(text, codes))
        found |= {"out_ref_codes": codes.numpy(), f"out_ref_codes_{number}": codes.numpy()}
    history: list[Past] = []
    sound = []
    for number, text in enumerate(scalars.get("segments") or scalars.get("batches") or [scalars["text"]]):
        ids = model.prompter.prompt(text, references, history, max_length=scalars.get("max_length", 0))
        frames = model.frames(ids, scalars)
        history.append(Past(text, frames))
        codes = model.prompter.kept(frames)
        sound.append(model.codec.decode(codes))
        found |= {"out_ids": ids.numpy(), "out_codes": codes.numpy(), f"out_codes_{number}": codes.numpy()}
    return found | {"out_audio": torch.cat(sound).numpy()}


STAGES: dict[str, Stage] = {
    **CODEC_STAGES,
    "reference_audio": reference_audio,
    "reference_codes": reference_codes,
    "e2e_codes": e2e,
    "e2e_audio": e2e,
    "tokenize": tokenize,
    "split_text": split,
    "split_turns": turns,
    "prompt_plain": prompt,
    "prompt_refs": prompt,
    "prompt_plain_cli": prompt_cli,
    "prompt_history": prompt_run,
    "prompt_multi": prompt_run,
    "prefill": prefill,
    "fast": fast,
    "generate_greedy": generate,
    "generate_greedy_ref": generate,
    "generate_penalty": generate,
    "generate_sampled": generate_sampled,
    "decode_logits": decode_logits,
    "sampling": sampling,
    "ras": ras,
}
