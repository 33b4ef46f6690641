"""The codec's stages of the parity cases, as functions of (model, scalars, inputs); `model.codec` is the codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hub_fish_speech.model.codec.dac import Dac
from hub_fish_speech.model.codec.firefly import log_mel
from torch import Tensor

Arrays = dict[str, np.ndarray]
Stage = Callable[[Any, dict[str, Any], Arrays], Arrays]


def mel(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Samples -> log-mel."""
    return {"out_mel": _channels_first(log_mel(_wave(inputs), model.codec.network.mel_sizes))}


def codec_encoder(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Samples (DAC) or a mel (firefly) -> the output of the encoder, and the input of the quantizer."""
    network, state = model.codec.network, {}
    if isinstance(network, Dac):
        latent = network.encoder(network.filled_up(_wave(inputs)), state)
        return {
            "out_latent": _channels_first(latent),
            "out_pre": _channels_first(network.quantizer.before(latent, state)),
        }
    features = network.backbone(torch.from_numpy(inputs["in_mel"]).mT, state)
    return {
        "out_features": _channels_first(features),
        "out_down": _channels_first(network.quantizer.before(features, state)),
    }


def codec_encode(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Samples -> codes, and the number of columns that the vendor counts."""
    codec, lengths = model.codec, [int(length) for length in inputs["in_audio_lengths"]]
    codes = [_codes(codec, wave, length) for wave, length in zip(_wave(inputs), lengths, strict=True)]
    return {"out_codes": torch.stack(codes).numpy(), "out_lengths": np.array([codec.filled(each) for each in lengths])}


def _codes(codec: Any, wave: Tensor, length: int) -> Tensor:
    """The codes of a wave, alone or in a batch; firefly is silent after its `length`."""
    if length == len(wave) or isinstance(codec.network, Dac):
        return codec.encode(wave)
    network, state = codec.network, {}
    filled = length // network.mel_sizes.hop_length
    mel_bands = log_mel(wave[None], network.mel_sizes)
    mel_bands[:, filled:] = 0
    features = network.backbone(mel_bands, state)
    features[:, filled:] = 0
    return network.quantizer.residual_fsq.quantize(network.quantizer.before(features, state))[0]


def codec_dequantize(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Codes -> latents; for the DAC also before the upsampling, and of ids that no codebook has."""
    codec, network = model.codec, model.codec.network
    codes = _usable(codec, inputs["in_codes"])
    made = {"out_z": _channels_first(network.dequantize(codes, {}))}
    if isinstance(network, Dac):
        made["out_post"] = _channels_first(network.quantizer.after(codes, {}))
        if "in_codes_over" in inputs:
            over = _usable(codec, inputs["in_codes_over"])
            made["out_z_over"] = _channels_first(network.dequantize(over, {}))
    return made


def codec_decode(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Codes -> samples, with silence after a given length. Once for each suffix of in_codes or in_lengths."""
    codec = model.codec
    made: Arrays = {}
    lengths = {name.removeprefix("in_lengths"): each for name, each in inputs.items() if name.startswith("in_lengths")}
    suffixes = lengths or [name.removeprefix("in_codes") for name in inputs if name.startswith("in_codes")]
    for suffix in suffixes:
        codes = torch.from_numpy(inputs.get(f"in_codes{suffix}", inputs["in_codes"]))
        given = lengths.get(suffix, [codes.shape[2]] * len(codes))
        sounds = []
        for one, length in zip(codes, given, strict=True):
            sound = codec.decode(one[:, : int(length)]).numpy()
            sounds.append(np.pad(sound, (0, codes.shape[2] * codec.frame - len(sound))))
        made[f"out_audio{suffix}"] = np.stack(sounds)[:, None]
        made[f"out_audio_lengths{suffix}"] = np.array([int(length) * codec.frame for length in given])
    return made


CODEC_STAGES: dict[str, Stage] = {
    stage.__name__: stage for stage in (mel, codec_encoder, codec_encode, codec_dequantize, codec_decode)
}


def _wave(inputs: Arrays) -> Tensor:
    return torch.from_numpy(inputs["in_audio"])[:, 0]


def _usable(codec: Any, codes: np.ndarray) -> Tensor:
    return torch.cat([codec.usable(one) for one in torch.from_numpy(codes)])


def _channels_first(x: Tensor) -> np.ndarray:
    """(B, T, C) -> the vendor's (B, C, T)."""
    return x.mT.numpy()
