"""Parity stages of features, flow, vocoder and streaming: what the official code computes, by this plugin's modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hub_cosyvoice.draws import Draws
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.flow.conformer import chunk_mask
from hub_cosyvoice.model.flow.flow import FlowPrompt, FlowV1
from hub_cosyvoice.streaming import start_stream
from hub_cosyvoice.streaming.official import Growing
from torch import Tensor

from hub.nn.features import resample

Arrays = dict[str, np.ndarray]
Stage = Callable[[Any, dict[str, Any], Arrays], Arrays]


def tensor(inputs: Arrays, name: str) -> Tensor:
    return torch.from_numpy(np.array(inputs[name]))


def prompt_of(inputs: Arrays) -> AcousticPrompt:
    return AcousticPrompt(
        tokens=tensor(inputs, "in_prompt_token").long()[0],
        mel=tensor(inputs, "in_prompt_feat")[0],
        embedding=tensor(inputs, "in_embedding")[0],
    )


def draws_of(inputs: Arrays, call: str = "") -> Draws:
    """The draws of a stage (or of one `call` of a stream), in this plugin's shapes, whatever the generation."""

    def given(*names: str) -> Tensor | None:
        for name in names:
            for key in (f"in_{name}{call}", f"in_{name}"):
                if key in inputs:
                    return tensor(inputs, key)
        return None

    phase, noise = given("phase", "rand_ini"), given("noise", "sine_noise")
    if phase is not None:
        phase = phase.reshape(1, -1)
    if noise is not None and noise.shape[2] > noise.shape[1]:
        noise = noise.transpose(1, 2)  # generation 1 has (1, H, N)
    return Draws(flow_noise=given("flow_noise"), phase=phase, noise=noise)


# -- features ----------------------------------------------------------------------------------------------------------


def load_wav(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    wave = tensor(inputs, "in_wav").float().div(32768).mean(dim=1)
    rates = {"out_wav16": 16_000, "out_wav22": 22_050, "out_wav24": 24_000}
    return {name: resample(wave, scalars["sample_rate"], rate)[None].numpy() for name, rate in rates.items()}


def feat_mel(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    wave = next(tensor(inputs, name)[0] for name in ("in_wav22", "in_wav24") if name in inputs)
    return {"out_mel": model.features.prompt_mel(wave)[None].numpy()}


def feat_logmel(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_feats": model.features.tokenizer_mel(tensor(inputs, "in_wav16")[0])[None].numpy()}


def feat_fbank(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_fbank": model.features.fbank(tensor(inputs, "in_wav16")[0]).numpy()}


def speech_tokenizer(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_tokens": model.features.tokens_of(tensor(inputs, "in_feats")[0])[None].numpy()}


def spk_embedding(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_embedding": model.features.embedding_of(tensor(inputs, "in_fbank"))[None].numpy()}


# -- flow --------------------------------------------------------------------------------------------------------------


def flow_encoder(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_h": model.wave.flow.encode(tensor(inputs, "in_token").long()).numpy()}


def length_regulator(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    sizes = (scalars[name] for name in ("prompt_tokens", "mel_len1", "mel_len2"))
    return {"out_mu": model.wave.flow.regulate(tensor(inputs, "in_h"), *sizes).numpy()}


def flow_mu(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    found = model.wave.flow.encode(
        tensor(inputs, "in_token").long(), scalars.get("finalize", True), bool(scalars.get("streaming"))
    )
    return {"out_mu": found.numpy()}


def flow_estimator(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    estimator = model.wave.flow.estimator
    x, mu, t, spks, cond = (tensor(inputs, f"in_{name}") for name in ("x", "mu", "t", "spks", "cond"))
    frames = x.shape[2]
    mask = chunk_mask(frames, estimator.chunk, x.device) if scalars.get("streaming") else None
    # One time for each row: two steps of `times`, put on top of each other.
    first, second = estimator.times(t)
    times = tuple(torch.cat(pair) for pair in zip(first, second, strict=True))
    return {"out_v": estimator(x, estimator.conditions(mu, spks, cond), times, mask).numpy()}


def flow_noise(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    return {"out_noise": model.wave.flow.noise(0, 64).numpy()}


def flow(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    flow, prompt = model.wave.flow, prompt_of(inputs)
    given = FlowPrompt(prompt.tokens[None], prompt.mel[None], prompt.embedding[None])
    tokens, noise = tensor(inputs, "in_token").long(), tensor(inputs, "in_noise")
    if isinstance(flow, FlowV1):
        return {"out_mel": flow.solve(flow.mu(tokens, given), given, noise).numpy()}
    final, chunked = scalars.get("finalize", True), bool(scalars.get("streaming"))
    mel = flow.mel(tokens, given, final=final, chunked=chunked, noise=noise)
    return {"out_mel": mel.numpy()}


# -- vocoder -----------------------------------------------------------------------------------------------------------


def hift_f0(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    predictor, mel = model.wave.vocoder.f0_predictor, tensor(inputs, "in_mel")
    found = {"out_f0": predictor(mel).numpy()}
    if predictor.causal:
        found["out_f0_not_final"] = predictor(mel, False).numpy()
    return found


def hift_source(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    draws = draws_of(inputs)
    return {"out_source": model.wave.vocoder.m_source(tensor(inputs, "in_f0"), draws.phase, draws.noise).numpy()}


def hift_decode(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    mel, source = tensor(inputs, "in_mel"), tensor(inputs, "in_source")
    return {"out_wav": model.wave.vocoder(mel, source, scalars.get("finalize", True)).numpy()}


def hift_cache_source(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    vocoder, draws, mel = model.wave.vocoder, draws_of(inputs), tensor(inputs, "in_mel")
    source = vocoder.m_source(vocoder.f0_predictor(mel), draws.phase, draws.noise)
    cached = tensor(inputs, "in_cache_source")
    source[:, :, : cached.shape[2]] = cached
    return {"out_wav": vocoder(mel, source).numpy(), "out_source": source.numpy()}


def hift(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    vocoder, draws, mel = model.wave.vocoder, draws_of(inputs), tensor(inputs, "in_mel")
    found = {}
    for final in (True, False):
        pitch = vocoder.f0_predictor(mel, final)
        frames = pitch.shape[1]
        source = vocoder.m_source(pitch, draws.phase, draws.noise[:, : frames * vocoder.hop])
        found["out_wav" if final else "out_wav_not_final"] = vocoder(mel[:, :, :frames], source, final).numpy()
    return found


# -- both --------------------------------------------------------------------------------------------------------------


def stream_token2wav(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    calls = range(scalars["n_calls"])
    stream = start_stream(
        model.wave,
        prompt_of(inputs),
        generator=torch.Generator(),
        scheme="official",
        draws=[draws_of(inputs, f"_{call}") for call in calls],
    )
    stream.mels = []
    if isinstance(stream, Growing):  # the hop is a constant of the official code, not of the yaml
        stream.begin(scalars["token_hop_len"])
    waves = []
    tokens = tensor(inputs, "in_token").flatten().tolist()
    for token in tokens:
        if len(made := stream.feed([token])):
            waves.append(made)
    waves.append(stream.finish())
    found = {f"out_wav_{call}": waves[call][None].numpy() for call in calls}
    return found | {f"out_mel_{call}": stream.mels[call].numpy() for call in calls}


def speed(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    wave = model.wave.whole(
        tensor(inputs, "in_token").flatten(),
        prompt_of(inputs),
        generator=torch.Generator(),
        speed=scalars["speed"],
        draws=draws_of(inputs),
    )
    return {"out_wav": wave[None].numpy()}


def quiet(stage: Stage) -> Stage:
    def run(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            return stage(model, scalars, inputs)

    return run


STAGES: dict[str, Stage] = {
    name: quiet(stage)
    for name, stage in {
        "load_wav": load_wav,
        "feat_mel": feat_mel,
        "feat_mel_head": feat_mel,
        "feat_logmel": feat_logmel,
        "feat_fbank": feat_fbank,
        "speech_tokenizer": speech_tokenizer,
        "spk_embedding": spk_embedding,
        "flow_encoder": flow_encoder,
        "flow_encoder_*": flow_mu,
        "flow_mu_*": flow_mu,
        "length_regulator": length_regulator,
        "flow_estimator": flow_estimator,
        "flow_estimator_*": flow_estimator,
        "flow_noise": flow_noise,
        "flow_*": flow,
        "hift_f0": hift_f0,
        "hift_source": hift_source,
        "hift_decode*": hift_decode,
        "hift_cache_source": hift_cache_source,
        "hift": hift,
        "stream_token2wav*": stream_token2wav,
        "speed_*": speed,
    }.items()
}
