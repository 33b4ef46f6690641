"""The codec's stages of the parity cases, as functions of (model, scalars, inputs); `model.codec` is the codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hub_fish_speech.codec.dac import Dac
from hub_fish_speech.codec.firefly import log_mel
from torch import Tensor

Arrays = dict[str, np.ndarray]
Stage = Callable[[Any, dict[str, Any], Arrays], Arrays]


def mel(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Samples -> log-mel."""
    return {"out_mel": _channels_first(log_mel(_wave(inputs), model.codec.network.mel_sizes))}


def codec_encoder(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """What the encoder makes of samples (DAC) or of a mel (firefly), and what the quantizer reads."""
    network, state = model.codec.network, {}
    if isinstance(network, Dac):
        wave = _wave(inputs)
        padded = torch.nn.functional.pad(wave, (0, -wave.shape[1] % network.frame))[..., None]
        latent = network.encoder(padded, state)
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
    """Samples -> codes, and how many of them the vendor counts."""
    codec = model.codec
    length = int(inputs["in_audio_lengths"][0])
    codes = codec.encode(_wave(inputs)[0])
    return {"out_codes": codes[None].numpy(), "out_lengths": np.array([codec.filled(length)])}


def codec_dequantize(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Codes -> latents; for the DAC also before the upsampling, and of ids that no codebook has."""
    codec, network = model.codec, model.codec.network
    codes = codec.usable(torch.from_numpy(inputs["in_codes"][0]))
    made = {"out_z": _channels_first(network.dequantize(codes, {}))}
    if isinstance(network, Dac):
        made["out_post"] = _channels_first(network.quantizer.after(codes, {}))
        over = codec.usable(torch.from_numpy(inputs["in_codes_over"][0]))
        made["out_z_over"] = _channels_first(network.dequantize(over, {}))
    return made


def codec_decode(model: Any, scalars: dict[str, Any], inputs: Arrays) -> Arrays:
    """Codes -> samples; what lies behind a given length is silence."""
    codec = model.codec
    codes = torch.from_numpy(inputs["in_codes"][0])
    if "in_codes_short" in inputs:
        short = torch.from_numpy(inputs["in_codes_short"][0])
        return {"out_audio": _audio(codec, codes), "out_audio_short": _audio(codec, short)}
    made = {}
    for name in ("", "_short"):
        length = int(inputs[f"in_lengths{name}"][0])
        audio = _audio(codec, codes[:, :length])
        spare = codes.shape[1] * codec.frame - audio.shape[-1]
        made[f"out_audio{name}"] = np.pad(audio, ((0, 0), (0, 0), (0, spare)))
        made[f"out_audio_lengths{name}"] = np.array([length * codec.frame])
    return made


CODEC_STAGES: dict[str, Stage] = {
    stage.__name__: stage for stage in (mel, codec_encoder, codec_encode, codec_dequantize, codec_decode)
}


def _wave(inputs: Arrays) -> Tensor:
    return torch.from_numpy(inputs["in_audio"])[:, 0]


def _audio(codec: Any, codes: Tensor) -> np.ndarray:
    return codec.decode(codes)[None, None].numpy()


def _channels_first(x: Tensor) -> np.ndarray:
    """(B, T, C) -> the vendor's (B, C, T)."""
    return x.mT.numpy()
