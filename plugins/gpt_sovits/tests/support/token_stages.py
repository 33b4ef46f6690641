"""The stages of semantic tokens (S1) for the parity runner."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hub_gpt_sovits.decoding import LIMIT, STOP_RATE, Choice, Row, decode, probabilities
from hub_gpt_sovits.speaking import limit_tokens
from torch import Tensor

from hub.nn.sampling import draw
from plugins.gpt_sovits.tests.support.stages import Arrays, Model, Stage, tensor


def choice_of(scalars: dict) -> Choice:
    return Choice(scalars["top_k"], scalars["top_p"], scalars["temperature"], scalars["repetition_penalty"])


def no_draws(rows: int, choices: int) -> Tensor:
    raise AssertionError("greedy decoding draws nothing")


def _rows(arrays: Arrays) -> list[Row]:
    count = sum(name.startswith("in_phones_") for name in arrays)
    return [Row(tensor(arrays[f"in_phones_{n}"]).flatten(), tensor(arrays[f"in_bert_{n}"])) for n in range(count)]


def _decoded(model: Model, rows: list[Row], prompt: Tensor, scalars: dict) -> list:
    """Decode with the stage's own early stop (-1: none), which requests take from the seconds in S1's configuration."""
    semantics, early = model.machinery.semantics(), scalars.get("early_stop_num")
    seconds = semantics.model.max_seconds
    if early is not None:
        semantics.model.max_seconds = (early + 0.5 if early >= 0 else LIMIT) / STOP_RATE
    try:
        *_, last = decode(semantics.model, semantics.sessions, rows, prompt, choice_of(scalars), no_draws)
    finally:
        semantics.model.max_seconds = seconds
    return last


@torch.inference_mode()
def t2s_prefill(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    net, sessions = model.machinery.semantics().model, model.machinery.semantics().sessions
    phones, bert, prompt = (tensor(arrays[name]) for name in ("in_phones", "in_bert", "in_prompt"))
    text = net.embed_text(phones, bert)
    tokens = net.embed_tokens(prompt, torch.arange(prompt.shape[1]))
    end = phones.shape[1] + prompt.shape[1]
    return {"out_logits": sessions.take(1, end).prefill(0, text, tokens, end).numpy()}


def t2s_greedy(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    out, prompt = {}, tensor(arrays["in_prompt"]).flatten()
    for number, row in enumerate(_rows(arrays)):
        (state,) = _decoded(model, [row], prompt, scalars)
        out |= {f"out_tokens_{number}": np.array(state.new), f"out_idx_{number}": np.array(_index(state))}
    return out


def t2s_batch(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    out, prompt = {}, tensor(arrays["in_prompt"]).flatten()
    for number, state in enumerate(_decoded(model, _rows(arrays), prompt, scalars)):
        kept = limit_tokens(state, together=True, prompted=True)
        out |= {f"out_tokens_{number}": np.array(kept), f"out_idx_{number}": np.array(_index(state))}
    return out


def t2s_prompt_free(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    row = Row(tensor(arrays["in_phones"]).flatten(), tensor(arrays["in_bert"]))
    (state,) = _decoded(model, [row], torch.empty(0, dtype=torch.long), scalars)
    return {"out_tokens": np.array(state.new, dtype=np.int32), "out_idx": np.array(0)}


def _index(state: Any) -> int:
    """The step at which a row stopped, from 0."""
    return len(state.new) if state.ended else len(state.new) - 1


def t2s_sampling(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    out: Arrays = {}
    logits, previous, noise = (tensor(arrays[name]) for name in ("in_logits", "in_previous", "in_noise"))
    for number, setting in enumerate(scalars["settings"]):
        _, probable = probabilities(logits, previous, Choice(int(setting[0]), *setting[1:]))
        out |= {f"out_probs_{number}": probable.numpy(), f"out_token_{number}": draw(probable, noise).numpy()}
    return out


TOKEN_STAGES: dict[str, Stage] = {
    "t2s_prefill": t2s_prefill,
    "t2s_greedy": t2s_greedy,
    "t2s_batch": t2s_batch,
    "t2s_prompt_free": t2s_prompt_free,
    "t2s_sampling": t2s_sampling,
}
