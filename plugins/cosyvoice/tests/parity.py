"""Parity adapter: computes the stages of cosyvoice cases. `load` reads a checkpoint as a release is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hub_cosyvoice.checkpoint.flow import load_flow
from hub_cosyvoice.checkpoint.lm import load_lm
from hub_cosyvoice.checkpoint.vocoder import load_vocoder
from hub_cosyvoice.config import Config, read_config
from hub_cosyvoice.decoding.generate import LMInput, generate
from hub_cosyvoice.decoding.interleave import GroupSizes, interleaved
from hub_cosyvoice.decoding.sampling import RasParameters, greedy, ras
from hub_cosyvoice.decoding.silence import without_long_silence
from hub_cosyvoice.draws import Draws
from hub_cosyvoice.machinery import Machinery, load_machinery
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.features import Features
from hub_cosyvoice.model.flow.flow import AnyFlow
from hub_cosyvoice.model.lm.base import SpeechLM
from hub_cosyvoice.model.lm.conformer import ConformerLM
from hub_cosyvoice.model.lm.qwen import QwenLM
from hub_cosyvoice.model.vocoder.generator import Generator
from hub_cosyvoice.modes import split_text
from hub_cosyvoice.options import CosyVoiceLoadOptions, Mode
from hub_cosyvoice.prompt import Plan, Planner
from hub_cosyvoice.session import Sessions
from hub_cosyvoice.text.normalise import Normaliser
from hub_cosyvoice.tokenizer import Tokenizer, load_tokenizer
from hub_cosyvoice.voices import Speaker
from torch import Tensor

from hub.contract.backend import ModelConfig
from hub.nn.recording import Recording
from plugins.cosyvoice.tests.support.wave_stages import STAGES as WAVE_STAGES
from plugins.cosyvoice.tests.support.wave_stages import draws_of

Arrays = dict[str, npt.NDArray[Any]]
Scalars = dict[str, Any]
Stage = Callable[..., Arrays]

FAMILY = "cosyvoice"
TRAINING: frozenset[str] = frozenset()

OSCILLATING = frozenset({"stream_token2wav"})
"""Stages whose waveform comes from phases that are summed over seconds of pitch, which the flow has predicted: rounding
in the flow turns them. Where a CPU rounds otherwise, `out_wav*` may differ by as much as such rounding moves it."""


class WaveParts:
    """The flow and the vocoder of such a checkpoint."""

    def __init__(self, folder: Path, config: Config, device: torch.device) -> None:
        self._folder, self._config, self._device = folder, config, device

    @cached_property
    def flow(self) -> AnyFlow:
        return load_flow(self._folder, self._config, self._device, torch.float32)

    @cached_property
    def vocoder(self) -> Generator:
        return load_vocoder(self._folder, self._config, self._device)


class Parts:
    """A checkpoint of which only some files are there, as in this repository; each part is read when it is used."""

    device = torch.device("cpu")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.config = read_config(folder)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self._folder, self.config)

    @cached_property
    def normaliser(self) -> Normaliser:
        return as_official(self.tokenizer)

    @cached_property
    def lm(self) -> SpeechLM:
        return load_lm(self._folder, self.config, self.device, torch.float32)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.lm)

    @cached_property
    def features(self) -> Features:
        return Features(self._folder, self.config, self.device)

    @cached_property
    def wave(self) -> WaveParts:
        return WaveParts(self._folder, self.config, self.device)

    frames_per_token = 2


def load(checkpoint: Path, case: Scalars) -> Machinery | Parts:
    """The model in `checkpoint`, on the CPU in float32, with CosyVoice's own text rules alone."""
    if not all((checkpoint / file).is_file() for file in ("llm.pt", "flow.pt", "hift.pt")):
        return Parts(checkpoint)
    config = ModelConfig(name="parity", path=str(checkpoint), device="cpu", dtype="float32")
    tuned = (checkpoint / "llm.rl.pt").is_file() and "rl" in re.split(r"\W|_", str(case.get("variant", "")).lower())
    return load_machinery(
        config, CosyVoiceLoadOptions(normaliser="builtin", language_model="rl" if tuned else "standard")
    )


def as_official(tokenizer: Tokenizer) -> Normaliser:
    return Normaliser(lambda text: len(tokenizer.encode(text)), as_official=True)


# -- text --------------------------------------------------------------------------------------------------------------


def text_ids(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    if "endofprompt_id" in scalars:
        assert model.tokenizer.end_of_prompt == scalars["endofprompt_id"]
    found = [model.tokenizer.encode(text, control=True) for text in inputs["in_texts"].tolist()]
    return {
        "out_ids": np.array([token for ids in found for token in ids]),
        "out_lens": np.array([len(ids) for ids in found]),
    }


def text_split(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    normaliser = as_official(model.tokenizer)
    found = [
        normaliser.segments(text, enabled=scalars.get("text_frontend", True)) for text in inputs["in_texts"].tolist()
    ]
    return {
        "out_segments": np.array([segment for segments in found for segment in segments]),
        "out_lens": np.array([len(segments) for segments in found]),
    }


def text_unsplit(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    normaliser, enabled = as_official(model.tokenizer), scalars.get("text_frontend", True)
    return {"out_texts": np.array([normaliser.whole(text, enabled=enabled) for text in inputs["in_texts"].tolist()])}


def frontend_zero_shot(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    """Everything that the models get in the mode zero_shot."""
    speaker = Speaker(recorded(model, inputs["in_wav"], scalars["sample_rate"]), str(inputs["in_prompt_text"][0]))
    plan = planner(model).plan("zero_shot", speaker, frontend=False)
    text = model.tokenizer.encode(str(inputs["in_text"][0]))
    return {
        "out_text": np.array([text]),
        "out_prompt_text": np.array([plan.before]),
        "out_llm_prompt_speech_token": np.array([plan.speech]),
        "out_flow_prompt_speech_token": plan.prompt.tokens[None].numpy(),
        "out_prompt_speech_feat": plan.prompt.mel[None].numpy(),
        "out_flow_embedding": plan.prompt.embedding[None].numpy(),
    }


def planner(model: Machinery) -> Planner:
    return Planner(
        model.config.generation,
        model.tokenizer,
        as_official(model.tokenizer),
        model.frames_per_token,
        as_official=True,
    )


def recorded(model: Machinery, wave: npt.NDArray[Any], rate: int) -> AcousticPrompt:
    """The prompt of int16 samples (T, channels)."""
    return model.features.prompt(mono(wave, rate))


def mono(wave: npt.NDArray[Any], rate: int) -> Recording:
    return Recording(torch.from_numpy(wave.astype(np.float32) / 32768).mean(dim=1).numpy(), rate)


# -- language model ----------------------------------------------------------------------------------------------------


def lm_input(inputs: Arrays) -> LMInput:
    def ids(name: str) -> list[int]:
        return inputs[name].reshape(-1).tolist() if name in inputs else []

    embedding = inputs.get("in_embedding")
    return LMInput(
        text=ids("in_text"),
        before=ids("in_prompt_text"),
        speech=ids("in_prompt_speech_token"),
        embedding=torch.from_numpy(embedding[0]) if embedding is not None and len(embedding) else None,
    )


def lm_text_encoder(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    assert isinstance(model.lm, ConformerLM)
    with torch.inference_mode():
        return {"out_enc": model.lm.encode_text(inputs["in_text"][0].tolist()).numpy()}


def lm_prefill(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    given = lm_input(inputs)
    with torch.inference_mode():
        x = model.lm.sequence([*given.before, *given.text], given.speech, given.embedding)
        with model.sessions.lend(x.shape[1]) as session:
            return {"out_lm_input": x.numpy(), "out_logits": session.extend(x)[None].numpy()}


def lm_greedy(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    tokens = generate(model.lm, model.sessions, lm_input(inputs), greedy, only_eos_waits=True)
    return {"out_tokens": np.array(list(tokens), dtype=np.int64)}


def lm_ras(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    parameters = parameters_of(scalars)

    def sampler(logp: Tensor, drawn: Sequence[int]) -> int:
        step = len(drawn)
        nucleus, anywhere = (torch.from_numpy(inputs[f"in_exp_{name}"][step]) for name in ("nucleus", "random"))
        return ras(logp, drawn, parameters, nucleus, lambda: anywhere)[0]

    given = lm_input(inputs)
    tokens = generate(model.lm, model.sessions, given, sampler, most=scalars["steps"], only_eos_waits=True)
    return {"out_tokens": np.array(list(tokens), dtype=np.int64)}


def ras_step(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    parameters = parameters_of(scalars)
    rows = zip(*(inputs[f"in_{name}"] for name in ("logp", "decoded", "exp_nucleus", "exp_random")), strict=True)
    found = [
        ras(
            torch.from_numpy(logp),
            drawn.tolist(),
            parameters,
            torch.from_numpy(nucleus),
            lambda e=e: torch.from_numpy(e),
        )
        for logp, drawn, nucleus, e in rows
    ]
    return {
        "out_tokens": np.array([token for token, _ in found]),
        "out_resampled": np.array([int(again) for _, again in found]),
    }


def parameters_of(scalars: Scalars) -> RasParameters:
    return RasParameters(
        top_p=scalars["top_p"], top_k=scalars["top_k"], window=scalars["win_size"], share=scalars["tau_r"]
    )


def lm_bistream(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    assert isinstance(model.lm, QwenLM)
    given = lm_input(inputs)
    preamble = 0
    if model.config.generation == 3:
        preamble = list(given.before).index(model.tokenizer.end_of_prompt) + 1
    tokens = interleaved(
        model.lm,
        model.sessions,
        given,
        inputs["in_piece_ids"].tolist(),
        greedy,
        sizes=GroupSizes(*scalars["mix_ratio"]),
        preamble=preamble,
        as_official=True,
    )
    return {"out_tokens": np.array(list(tokens), dtype=np.int64)}


def silent_filter(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    kept = without_long_silence(inputs["in_tokens"].tolist())
    return {"out_tokens": np.array(list(kept), dtype=np.int64)}


# -- end to end --------------------------------------------------------------------------------------------------------


def end_to_end(model: Machinery, scalars: Scalars, inputs: Arrays, stage: Scalars) -> Arrays:
    """One segment, greedy, as the reference speaks it."""
    mode = stage["name"].removeprefix("e2e_")
    plan, text = plan_of(model, mode, scalars, inputs)
    if scalars.get("text_frontend", False):
        (text,) = as_official(model.tokenizer).segments(text)
    given = plan.lm_input(model.tokenizer.encode(plan.tag + text))
    if model.config.generation == 3 and mode in (
        "cross_lingual",
        "sft",
    ):  # there the preamble is text, and counts as such
        given = LMInput([*given.before, *given.text])
    tokens: Sequence[int] = list(generate(model.lm, model.sessions, given, greedy, only_eos_waits=True))
    if model.config.generation == 3:
        tokens = list(without_long_silence(tokens))
    return spoken(model, tokens, plan.prompt, draws_of(inputs))


def plan_of(model: Machinery, mode: Mode, scalars: Scalars, inputs: Arrays) -> tuple[Plan, str]:
    def word(name: str) -> str | None:
        return str(inputs[name][0]) if name in inputs else None

    if "in_prompt_wav" in inputs:
        prompt = recorded(model, inputs["in_prompt_wav"], scalars["prompt_sample_rate"])
        speaker = Speaker(prompt, word("in_prompt_text"))
    else:
        speaker = model.presets[scalars["spk_id"]]
    preamble, tag, text = split_text(model.config.generation, word("in_tts_text") or "")
    plan = planner(model).plan(
        mode,
        speaker,
        instruct=word("in_instruct_text"),
        frontend=scalars.get("text_frontend", False),
        preamble=preamble,
        tag=tag,
    )
    return plan, text


def convert_voice(model: Machinery, scalars: Scalars, inputs: Arrays) -> Arrays:
    source = model.features.listen(mono(inputs["in_source_wav"], scalars["source_sample_rate"]))
    tokens = model.features.speech_tokens(source).tolist()
    prompt = recorded(model, inputs["in_prompt_wav"], scalars["prompt_sample_rate"])
    return spoken(model, tokens, prompt, draws_of(inputs))


def spoken(model: Machinery, tokens: Sequence[int], prompt: AcousticPrompt, draws: Draws) -> Arrays:
    """The whole utterance, and its mel."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        mel = model.wave.mel(tokens, prompt, generator, draws)
    wave = model.wave.whole(tokens, prompt, generator=generator, draws=draws)
    return {"out_wav": wave[None].numpy(), "out_mel": mel.float().numpy()}


STAGES: dict[str, Stage] = {
    **WAVE_STAGES,
    "text_ids": text_ids,
    "text_split": text_split,
    "text_unsplit": text_unsplit,
    "frontend_zero_shot": frontend_zero_shot,
    "lm_text_encoder": lm_text_encoder,
    "lm_prefill_*": lm_prefill,
    "lm_greedy_*": lm_greedy,
    "lm_ras_*": lm_ras,
    "lm_bistream*": lm_bistream,
    "ras_step": ras_step,
    "silent_filter": silent_filter,
    "e2e_*": end_to_end,
    "e2e_vc": convert_voice,
}
