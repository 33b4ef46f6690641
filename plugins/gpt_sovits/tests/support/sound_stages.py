"""The stages of references and of sound (S2, the flow, the vocoders) for the parity runner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hub_gpt_sovits.features import hubert_wave, prompt_mel, speaker_features, style_spectrogram, style_wave
from hub_gpt_sovits.model.dit import sample_mel
from hub_gpt_sovits.model.join import overlap_add
from hub_gpt_sovits.model.vits import NOISE_SCALE
from hub_gpt_sovits.rendering import Manner, Prompt, Utterance, render_serially, render_together
from hub_gpt_sovits.slicer import SliceRules, slices, written
from hub_gpt_sovits.text import Run
from hub_gpt_sovits.voices import ClonedVoice, Sound

from plugins.gpt_sovits.tests.support.stages import Arrays, Given, Model, Stage, recording_of, tensor

# -- references --------------------------------------------------------------------------------------------------


def bert_feature(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    run = Run("zh", (0,), tuple(int(one) for one in arrays["in_word2ph"]), str(np.atleast_1d(arrays["in_text"])[0]))
    return {"out_bert": model.machinery.voices.bert_features([run]).numpy()}


def resample_16k(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_wav16k": hubert_wave(recording_of(arrays["in_audio"], scalars["sample_rate"]))[0].numpy()}


def ref_spec(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    rate, n_fft, hop, window = model.acoustics.spectrum
    audio = style_wave(recording_of(arrays["in_audio"], scalars["sample_rate"]), rate)
    return {"out_spec": style_spectrogram(audio, n_fft, hop, window).numpy()}


@torch.inference_mode()
def hubert(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    features = model.machinery.networks.hubert(tensor(arrays["in_wav16k"])[None], scalars["appended_zeros"])
    return {"out_feature": features.transpose(1, 2).numpy()}


@torch.inference_mode()
def semantic_codes(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_codes": model.net.codes(tensor(arrays["in_ssl"]))[None].numpy()}


def sv_fbank(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_fbank": speaker_features(tensor(arrays["in_wav16k"]))[0].numpy()}


@torch.inference_mode()
def sv_embedding(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_sv": model.machinery.networks.speaker(speaker_features(tensor(arrays["in_wav16k"]))).numpy()}


def ref_mel(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    recording = recording_of(arrays["in_audio"], scalars["sample_rate"])
    return {"out_mel": prompt_mel(recording, model.acoustics.version).numpy()}


# -- v1, v2, v2Pro -----------------------------------------------------------------------------------------------


@torch.inference_mode()
def ref_encoder(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    vector = tensor(arrays["in_sv"]) if "in_sv" in arrays else None
    return {"out_ge": model.net.style(tensor(arrays["in_spec"]), vector).numpy()}


@torch.inference_mode()
def enc_p(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    mean, log = model.net.prior(
        tensor(arrays["in_codes"])[0], tensor(arrays["in_phones"]), tensor(arrays["in_ge"]), scalars["speed"]
    )
    return {"out_m": mean.numpy(), "out_logs": log.numpy()}


@torch.inference_mode()
def flow_reverse(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_z": model.net.flow.reverse(tensor(arrays["in_z_p"]), None, tensor(arrays["in_ge"])).numpy()}


@torch.inference_mode()
def decoder(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_wav": model.net.dec(tensor(arrays["in_z"]), tensor(arrays["in_ge"])).numpy()}


@torch.inference_mode()
def vits_decode(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    count = sum(name.startswith("in_spec_") for name in arrays)
    styles = [
        model.net.style(
            tensor(arrays[f"in_spec_{n}"]), tensor(arrays[f"in_sv_{n}"]) if f"in_sv_{n}" in arrays else None
        )
        for n in range(count)
    ]
    wave = model.net.decode(
        tensor(arrays["in_codes"])[0],
        tensor(arrays["in_phones"]),
        torch.stack(styles).mean(0),
        Given(arrays, scalars.get("noise_scale", NOISE_SCALE) / NOISE_SCALE),
        scalars["speed"],
    )
    return {"out_wav": wave.numpy()}


def overlap_add_stage(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    pieces = [tensor(arrays[f"in_part_{n}"]) for n in range(len(arrays)) if f"in_part_{n}" in arrays]
    return {"out_audio": overlap_add(pieces, scalars["overlap_len"], scalars["search_len"]).numpy()}


def slicer(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    wave, out = arrays["in_audio"].astype(np.float32) / 32768, {}
    for number, given in enumerate(scalars["settings"]):
        rules = SliceRules(*given)
        ranges = slices(wave, scalars["sample_rate"], rules)
        files = [written(wave[start:end], rules) for start, end in ranges]
        out[f"out_ranges_{number}"] = np.array(ranges)
        out[f"out_files_{number}"] = np.array([(len(one), np.abs(one.astype(np.int64)).max()) for one in files])
    return out


# -- v3, v4 ------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def features(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    style = model.net.style(tensor(arrays["in_spec"]))
    found = model.net.features(tensor(arrays["in_codes"])[0], tensor(arrays["in_phones"]), style, scalars["speed"])
    return {"out_fea": found.numpy(), "out_ge": style.numpy()}


@torch.inference_mode()
def dit(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    x, prompt, mu, time, step = (tensor(arrays[f"in_{name}"]) for name in ("x", "prompt", "mu", "t", "d"))
    net = model.net.dit
    embedded = net.text_embed(mu.transpose(1, 2))
    velocity = net(x.transpose(1, 2), prompt.transpose(1, 2), embedded, time.flatten(), net.d_embed(step.flatten()))
    return {"out_v": velocity.numpy()}


def cfm(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    mu, prompt, noise = (tensor(arrays[f"in_{name}"]) for name in ("mu", "prompt", "noise"))
    return {"out_mel": sample_mel(model.net.dit, mu, prompt, noise, scalars["steps"]).numpy()}


@torch.inference_mode()
def vocoder(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_wav": model.acoustics.vocoder.net(tensor(arrays["in_mel"])).numpy()}


@torch.inference_mode()
def _chunked(model: Model, scalars: dict, arrays: Arrays) -> tuple[Any, ...]:
    net, wanted = model.net, model.acoustics.vocoder
    overlap = scalars.get("overlap", wanted.overlap)
    cut = replace(wanted, longest_reference=scalars["T_ref"], window=scalars["T_chunk"], overlap=overlap)
    mel = prompt_mel(recording_of(arrays["in_audio"], scalars["sample_rate"]), model.acoustics.version)
    style = net.style(tensor(arrays["in_spec"]))
    codes = tensor(arrays["in_prompt"]).flatten()
    reference = net.features(codes[None], tensor(arrays["in_prompt_phones"]).flatten()[None], style)
    voice = ClonedVoice(Sound(codes, style, mel), None, reference)
    batch = [
        Utterance(tensor(arrays[f"in_tokens_{n}"]).flatten(), tensor(arrays[f"in_phones_{n}"]).flatten())
        for n in range(len(arrays))
        if f"in_tokens_{n}" in arrays
    ]
    return net, cut, Prompt.of(voice, cut), voice, batch, Manner(steps=scalars["steps"]), Given(arrays)


@torch.inference_mode()
def chunked_batch(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {f"out_wav_{n}": wave.numpy() for n, wave in enumerate(render_together(*_chunked(model, scalars, arrays)))}


@torch.inference_mode()
def chunked_serial(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    net, cut, prompt, voice, (one,), manner, noise = _chunked(model, scalars, arrays)
    return {"out_wav": render_serially(net, cut, prompt, voice, one, manner, noise).numpy()}


SOUND_STAGES: dict[str, Stage] = {
    "bert_feature": bert_feature,
    "resample_16k": resample_16k,
    "ref_spec": ref_spec,
    "ref_mel": ref_mel,
    "hubert": hubert,
    "semantic_codes": semantic_codes,
    "sv_fbank": sv_fbank,
    "sv_embedding": sv_embedding,
    "ref_encoder": ref_encoder,
    "enc_p*": enc_p,
    "flow_reverse": flow_reverse,
    "decoder": decoder,
    "vits_decode*": vits_decode,
    "overlap_add": overlap_add_stage,
    "slicer": slicer,
    "features*": features,
    "dit": dit,
    "cfm_*": cfm,
    "vocoder": vocoder,
    "chunked_batch": chunked_batch,
    "chunked_serial": chunked_serial,
}
