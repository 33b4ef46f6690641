"""GPT-SoVITS for the parity runner: stage name -> what the plugin computes of it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from hub_gpt_sovits.engine import Engine, EngineSettings
from hub_gpt_sovits.model.decoding import LIMIT, STOP_RATE, Choice, Row, decode, probabilities
from hub_gpt_sovits.model.dit import sample_mel
from hub_gpt_sovits.model.join import overlap_add
from hub_gpt_sovits.model.vits import NOISE_SCALE
from hub_gpt_sovits.references import hubert_wave, prompt_mel, speaker_features, style_spectrogram, style_wave
from hub_gpt_sovits.release import Release
from hub_gpt_sovits.rendering import Manner, Prompt, Utterance, render_serially, render_together
from hub_gpt_sovits.slicer import SliceSettings, slices, written
from hub_gpt_sovits.speaking import Settings, limit_tokens, speak_batches, speak_tokens
from hub_gpt_sovits.text import Run
from hub_gpt_sovits.voicing import Sound, Spoken, Voice
from torch import Tensor

from hub.nn.sampling import draw
from plugins.gpt_sovits.tests.support.text_stages import TEXT_STAGES

FAMILY = "gpt_sovits"
TRAINING = frozenset({"s1_loss", "s1_loss_uneven", "s2_step"})

Arrays = dict[str, np.ndarray]
Stage = Callable[..., Arrays]


@dataclass
class Model:
    """What the stages work with."""

    engine: Engine
    folder: Path

    @property
    def release(self) -> Release:
        return self.engine.networks.release

    @property
    def frontend(self) -> Any:
        return self.engine.frontend

    @property
    def acoustics(self) -> Any:
        return self.engine.acoustics()

    @property
    def net(self) -> Any:
        return self.acoustics.model


def load(checkpoint: Path, case: dict[str, Any]) -> Model:
    """The case's checkpoint through the plugin's own loader, on the CPU."""
    named = case["checkpoint"]
    hubert, bert = (checkpoint / named[name] if name in named else None for name in ("hubert", "bert"))
    settings = EngineSettings(
        checkpoint,
        version="" if "vits" in named else named.get("model_version", ""),
        gpt=named.get("t2s", ""),
        sovits=named.get("vits", ""),
        hubert=hubert,
        bert=bert,
        text_data=text_tables(),
    )
    return Model(Engine(settings), checkpoint.parent)


def text_tables() -> Path | None:
    """The official pronunciation tables, which no checkpoint of the cases holds."""
    beside = Path(__file__).parents[4] / "shared" / "data" / "gpt_sovits_text"
    folder = Path(os.environ.get("HUB_GPT_SOVITS_TEXT") or beside)
    return folder if folder.is_dir() else None


def _t(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _mono(array: np.ndarray) -> np.ndarray:
    wave = array.astype(np.float32) / 32768
    return wave if wave.ndim == 1 else wave.mean(axis=1, dtype=np.float32)


# -- reference -----------------------------------------------------------------------------------------------------


def bert_feature(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    run = Run("zh", (0,), tuple(int(one) for one in arrays["in_word2ph"]), str(np.atleast_1d(arrays["in_text"])[0]))
    return {"out_bert": model.engine.voicing.bert_features([run]).numpy()}


def resample_16k(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_wav16k": hubert_wave(_mono(arrays["in_audio"]), scalars["sample_rate"])[0].numpy()}


def ref_spec(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    rate, n_fft, hop, window = model.acoustics.spectrum
    audio = style_wave(_mono(arrays["in_audio"]), scalars["sample_rate"], rate)
    return {"out_spec": style_spectrogram(audio, n_fft, hop, window).numpy()}


@torch.inference_mode()
def hubert(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    features = model.engine.networks.hubert(_t(arrays["in_wav16k"])[None], scalars["appended_zeros"])
    return {"out_feature": features.transpose(1, 2).numpy()}


@torch.inference_mode()
def semantic_codes(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_codes": model.net.codes(_t(arrays["in_ssl"]))[None].numpy()}


def sv_fbank(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_fbank": speaker_features(_t(arrays["in_wav16k"]))[0].numpy()}


@torch.inference_mode()
def sv_embedding(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_sv": model.engine.networks.speaker(speaker_features(_t(arrays["in_wav16k"]))).numpy()}


def ref_mel(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_mel": prompt_mel(_mono(arrays["in_audio"]), scalars["sample_rate"], model.acoustics.version).numpy()}


# -- semantic tokens -------------------------------------------------------------------------------------------------


def _choice(scalars: dict) -> Choice:
    return Choice(scalars["top_k"], scalars["top_p"], scalars["temperature"], scalars["repetition_penalty"])


def _no_draws(rows: int, choices: int) -> Tensor:
    raise AssertionError("greedy decoding draws nothing")


def _rows(arrays: Arrays) -> list[Row]:
    count = sum(name.startswith("in_phones_") for name in arrays)
    return [Row(_t(arrays[f"in_phones_{n}"]).flatten(), _t(arrays[f"in_bert_{n}"])) for n in range(count)]


def _decoded(model: Model, rows: list[Row], prompt: Tensor, scalars: dict) -> list:
    """With the stage's own early stop, which requests take from the seconds in S1's configuration; -1 for none."""
    semantics, early = model.engine.semantics(), scalars.get("early_stop_num")
    seconds = semantics.model.max_seconds
    if early is not None:
        semantics.model.max_seconds = (early + 0.5 if early >= 0 else LIMIT) / STOP_RATE
    try:
        *_, last = decode(semantics.model, semantics.pool, rows, prompt, _choice(scalars), _no_draws)
    finally:
        semantics.model.max_seconds = seconds
    return last


@torch.inference_mode()
def t2s_prefill(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    net, pool = model.engine.semantics().model, model.engine.semantics().pool
    phones, bert, prompt = (_t(arrays[name]) for name in ("in_phones", "in_bert", "in_prompt"))
    text = net.embed_text(phones, bert)
    tokens = net.embed_tokens(prompt, torch.arange(prompt.shape[1]))
    end = phones.shape[1] + prompt.shape[1]
    return {"out_logits": pool.take(1, end).prefill(0, text, tokens, end).numpy()}


def t2s_greedy(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    out, prompt = {}, _t(arrays["in_prompt"]).flatten()
    for number, row in enumerate(_rows(arrays)):
        (state,) = _decoded(model, [row], prompt, scalars)
        out |= {f"out_tokens_{number}": np.array(state.new), f"out_idx_{number}": np.array(_index(state))}
    return out


def t2s_batch(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    out, prompt = {}, _t(arrays["in_prompt"]).flatten()
    for number, state in enumerate(_decoded(model, _rows(arrays), prompt, scalars)):
        kept = limit_tokens(state, together=True, prompted=True)
        out |= {f"out_tokens_{number}": np.array(kept), f"out_idx_{number}": np.array(_index(state))}
    return out


def t2s_prompt_free(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    row = Row(_t(arrays["in_phones"]).flatten(), _t(arrays["in_bert"]))
    (state,) = _decoded(model, [row], torch.empty(0, dtype=torch.long), scalars)
    return {"out_tokens": np.array(state.new, dtype=np.int32), "out_idx": np.array(0)}


def _index(state: Any) -> int:
    """The step at which a row stopped, from 0."""
    return len(state.new) if state.ended else len(state.new) - 1


def t2s_sampling(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    out: Arrays = {}
    logits, previous, noise = (_t(arrays[name]) for name in ("in_logits", "in_previous", "in_noise"))
    for number, setting in enumerate(scalars["settings"]):
        _, probable = probabilities(logits, previous, Choice(int(setting[0]), *setting[1:]))
        out |= {f"out_probs_{number}": probable.numpy(), f"out_token_{number}": draw(probable, noise).numpy()}
    return out


# -- v1, v2, v2Pro -------------------------------------------------------------------------------------------------


@torch.inference_mode()
def ref_encoder(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    vector = _t(arrays["in_sv"]) if "in_sv" in arrays else None
    return {"out_ge": model.net.style(_t(arrays["in_spec"]), vector).numpy()}


@torch.inference_mode()
def enc_p(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    mean, log = model.net.prior(
        _t(arrays["in_codes"])[0], _t(arrays["in_phones"]), _t(arrays["in_ge"]), scalars["speed"]
    )
    return {"out_m": mean.numpy(), "out_logs": log.numpy()}


@torch.inference_mode()
def flow_reverse(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_z": model.net.flow.reverse(_t(arrays["in_z_p"]), None, _t(arrays["in_ge"])).numpy()}


@torch.inference_mode()
def decoder(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_wav": model.net.dec(_t(arrays["in_z"]), _t(arrays["in_ge"])).numpy()}


@torch.inference_mode()
def vits_decode(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    count = sum(name.startswith("in_spec_") for name in arrays)
    styles = [
        model.net.style(_t(arrays[f"in_spec_{n}"]), _t(arrays[f"in_sv_{n}"]) if f"in_sv_{n}" in arrays else None)
        for n in range(count)
    ]
    wave = model.net.decode(
        _t(arrays["in_codes"])[0],
        _t(arrays["in_phones"]),
        torch.stack(styles).mean(0),
        _Given(arrays, scalars.get("noise_scale", NOISE_SCALE) / NOISE_SCALE),
        scalars["speed"],
    )
    return {"out_wav": wave.numpy()}


class _Given:
    """The stage's own noise, in order: `in_noise`, or `in_noise_0`, `in_noise_1`, ...; times `scale`."""

    def __init__(self, arrays: Arrays, scale: float = 1.0) -> None:
        names = ["in_noise"] if "in_noise" in arrays else []
        names += [f"in_noise_{n}" for n in range(len(arrays)) if f"in_noise_{n}" in arrays]
        self._left = [_t(arrays[name]) * scale for name in names]

    def __call__(self, shape: Any) -> Tensor:
        noise = self._left.pop(0)
        assert tuple(noise.shape) == tuple(shape), f"noise of {tuple(noise.shape)} given, {tuple(shape)} wanted"
        return noise


def overlap_add_stage(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    pieces = [_t(arrays[f"in_part_{n}"]) for n in range(len(arrays)) if f"in_part_{n}" in arrays]
    return {"out_audio": overlap_add(pieces, scalars["overlap_len"], scalars["search_len"]).numpy()}


def slicer(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    wave, out = arrays["in_audio"].astype(np.float32) / 32768, {}
    for number, given in enumerate(scalars["settings"]):
        settings = SliceSettings(*given)
        ranges = slices(wave, scalars["sample_rate"], settings)
        files = [written(wave[start:end], settings) for start, end in ranges]
        out[f"out_ranges_{number}"] = np.array(ranges)
        out[f"out_files_{number}"] = np.array([(len(one), np.abs(one.astype(np.int64)).max()) for one in files])
    return out


# -- v3, v4 ------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def features(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    style = model.net.style(_t(arrays["in_spec"]))
    found = model.net.features(_t(arrays["in_codes"])[0], _t(arrays["in_phones"]), style, scalars["speed"])
    return {"out_fea": found.numpy(), "out_ge": style.numpy()}


@torch.inference_mode()
def dit(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    x, prompt, mu, time, step = (_t(arrays[f"in_{name}"]) for name in ("x", "prompt", "mu", "t", "d"))
    net = model.net.dit
    embedded = net.text_embed(mu.transpose(1, 2))
    velocity = net(x.transpose(1, 2), prompt.transpose(1, 2), embedded, time.flatten(), net.d_embed(step.flatten()))
    return {"out_v": velocity.numpy()}


def cfm(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    mu, prompt, noise = (_t(arrays[f"in_{name}"]) for name in ("mu", "prompt", "noise"))
    return {"out_mel": sample_mel(model.net.dit, mu, prompt, noise, scalars["steps"]).numpy()}


@torch.inference_mode()
def vocoder(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {"out_wav": model.acoustics.vocoder.net(_t(arrays["in_mel"])).numpy()}


@torch.inference_mode()
def _chunked(model: Model, scalars: dict, arrays: Arrays) -> tuple[Any, ...]:
    net, wanted = model.net, model.acoustics.vocoder
    overlap = scalars.get("overlap", wanted.overlap)
    cut = replace(wanted, longest_reference=scalars["T_ref"], chunk=scalars["T_chunk"], overlap=overlap)
    mel = prompt_mel(_mono(arrays["in_audio"]), scalars["sample_rate"], model.acoustics.version)
    style = net.style(_t(arrays["in_spec"]))
    codes = _t(arrays["in_prompt"]).flatten()
    reference = net.features(codes[None], _t(arrays["in_prompt_phones"]).flatten()[None], style)
    voice = Voice(Sound(codes, style, mel), None, reference)
    batch = [
        Utterance(_t(arrays[f"in_tokens_{n}"]).flatten(), _t(arrays[f"in_phones_{n}"]).flatten())
        for n in range(len(arrays))
        if f"in_tokens_{n}" in arrays
    ]
    return net, cut, Prompt.of(voice, cut), voice, batch, Manner(steps=scalars["steps"]), _Given(arrays)


@torch.inference_mode()
def chunked_batch(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    return {f"out_wav_{n}": wave.numpy() for n, wave in enumerate(render_together(*_chunked(model, scalars, arrays)))}


@torch.inference_mode()
def chunked_serial(model: Model, scalars: dict, arrays: Arrays) -> Arrays:
    net, cut, prompt, voice, (one,), manner, noise = _chunked(model, scalars, arrays)
    return {"out_wav": render_serially(net, cut, prompt, voice, one, manner, noise).numpy()}


# -- whole requests ----------------------------------------------------------------------------------------------


def _request(model: Model, scalars: dict, arrays: Arrays) -> tuple[Voice, Settings, str]:
    def text(name: str) -> str:
        return str(np.atleast_1d(arrays[name])[0]) if name in arrays and arrays[name].size else ""

    main = Spoken(wav_bytes(arrays["in_audio"], scalars["sample_rate"]), text("in_prompt_text"), scalars["prompt_lang"])
    aux = [wav_bytes(arrays["in_aux_audio"], scalars["aux_sample_rate"])] if "in_aux_audio" in arrays else []
    settings = Settings(
        choice=_choice(scalars),
        manner=Manner(scalars.get("speed_factor", 1.0), scalars["sample_steps"], scalars.get("parallel_infer", True)),
        language=scalars.get("text_lang", "zh"),
        cut=scalars["text_split_method"],
        batch_size=scalars.get("batch_size", 1),
        batch_threshold=scalars.get("batch_threshold", 0.75),
        split_bucket=scalars.get("split_bucket", True),
        chunk=scalars.get("min_chunk_length", 16),
        overlap=scalars.get("overlap_length", 2),
    )
    return model.engine.voicing.voice(main, aux, model.acoustics), settings, text("in_text")


def e2e(model: Model, scalars: dict, arrays: Arrays, stage: dict) -> Arrays:
    voice, settings, text = _request(model, scalars, {**arrays, **_left_over(model, stage)})
    pair = model.engine.pair()
    pieces = speak_batches(model.engine, pair, voice, text, settings, _Given(arrays), _no_draws)
    rate = model.acoustics.spectrum[0]  # upstream counts at S2's own rate, whatever the vocoder's
    silence = np.zeros(int(rate * scalars["fragment_interval"]), np.float32)
    waves = [np.concatenate([piece.wave, silence]) for piece in pieces]
    return {"out_audio": _int16(np.concatenate(waves))}


def _left_over(model: Model, stage: dict) -> Arrays:
    """An input that two stages were recorded with and do not name: the auxiliary reference of the stage before them.

    The recordings were made one request after the other in one process, and `e2e_en_speed`'s second reference still
    counted in the two that follow. Their results are reached with it, to the last digit, and not without it.
    """
    recorded = model.folder / "e2e_en_speed.npz"
    if stage["name"] not in ("e2e_no_prompt", "e2e_naive") or not recorded.is_file():
        return {}
    with np.load(recorded) as before:
        return {"in_aux_audio": before["in_aux_audio"]} if "in_aux_audio" in before.files else {}


def stream_mode(model: Model, scalars: dict, arrays: Arrays, stage: dict) -> Arrays:
    voice, settings, text = _request(model, scalars, arrays)
    settings = replace(settings, streaming=2 if stage["name"].endswith("2") else 3, as_upstream=True)
    chunks: list[np.ndarray] = []
    rate, pair = scalars["sample_rate_out"], model.engine.pair()
    for piece in speak_tokens(model.engine, pair, voice, text, settings, _Given(arrays), _no_draws):
        chunks.append(_int16(piece.wave))
        if piece.last:
            chunks.append(np.zeros(int(rate * scalars["fragment_interval"]), np.int16))
    return {f"out_chunk_{number}": chunk for number, chunk in enumerate(chunks)}


def _int16(wave: np.ndarray) -> np.ndarray:
    """As upstream: by truncation. It lets +1.0 wrap round; nothing of the cases is that loud."""
    return (wave * 32768).astype(np.int16)


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """What the hub gives a synthesizer: a mono float WAV."""
    out = io.BytesIO()
    soundfile.write(out, _mono(samples), rate, format="WAV", subtype="FLOAT")
    return out.getvalue()


STAGES: dict[str, Stage] = {
    **TEXT_STAGES,
    "bert_feature": bert_feature,
    "resample_16k": resample_16k,
    "ref_spec": ref_spec,
    "ref_mel": ref_mel,
    "hubert": hubert,
    "semantic_codes": semantic_codes,
    "sv_fbank": sv_fbank,
    "sv_embedding": sv_embedding,
    "t2s_prefill": t2s_prefill,
    "t2s_greedy": t2s_greedy,
    "t2s_batch": t2s_batch,
    "t2s_prompt_free": t2s_prompt_free,
    "t2s_sampling": t2s_sampling,
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
    "stream_mode*": stream_mode,
    "e2e*": e2e,
}
