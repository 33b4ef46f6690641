"""flow.pt -> the flow of its generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub.nn.weights import load_state, load_strict
from hub_cosyvoice.config import Config, Node
from hub_cosyvoice.model.flow.captured import Captured
from hub_cosyvoice.model.flow.dit import DiT
from hub_cosyvoice.model.flow.encoders import Encoder, Lookahead, UpsamplingEncoder
from hub_cosyvoice.model.flow.flow import AnyFlow, CausalFlow, FlowV1, FlowV2, FlowV3
from hub_cosyvoice.model.flow.regulator import LengthRegulator
from hub_cosyvoice.model.flow.unet import UNet

WHOLE = 1 << 30
"""Frames of a chunk that holds any utterance."""


def load_flow(folder: Path, config: Config, device: torch.device, dtype: torch.dtype) -> AnyFlow:
    """`flow.pt` of a checkpoint, ready to use. Raises CheckpointError if it does not fit the yaml."""
    flow = build_flow(config)
    load_strict(flow, join_qkv(load_state(folder / "flow.pt", device="cpu")), "flow.pt")
    return ready(flow, config, device, dtype)


def ready(flow: AnyFlow, config: Config, device: torch.device, dtype: torch.dtype) -> AnyFlow:
    """Move a flow that has its weights to `device`, and compute all that depends on the weights alone."""
    flow = flow.eval().requires_grad_(False).to(device=device, dtype=dtype)
    content = config.flow["decoder"]["cfm_params"]["content"]
    captured = device.type == "cuda" and isinstance(flow, CausalFlow) and not flow.estimator.resamples
    with torch.inference_mode():
        flow.prepare(
            guidance=float(content["inference_cfg_rate"]),
            cosine=content.get("t_scheduler") == "cosine",
            wrap=Captured if captured else None,
        )
    return flow


def build_flow(config: Config) -> AnyFlow:
    """The modules that the yaml describes, without weights."""
    node = config.flow
    shared: dict[str, Any] = {
        "vocabulary": node["vocab_size"],
        "width": node["input_size"],
        "speaker": node["spk_embed_dim"],
        "bands": node["output_size"],
    }
    estimator = node["decoder"]["estimator"]
    if config.generation == 3:
        ahead = node["pre_lookahead_layer"]
        lookahead = Lookahead(ahead["in_channels"], ahead["channels"], ahead["pre_lookahead_len"])
        return FlowV3(**shared, lookahead=lookahead, estimator=_dit(estimator), ratio=node.get("token_mel_ratio", 2))
    encoder = node["encoder"]
    sizes = _encoder_sizes(encoder)
    if config.generation == 2:
        upsampling = UpsamplingEncoder(
            **sizes,
            chunk=encoder["static_chunk_size"],
            ahead=node.get("pre_lookahead_len", 3),
            stride=node.get("token_mel_ratio", 2),
        )
        unet = _unet(estimator, causal=True)
        return FlowV2(**shared, encoder=upsampling, encoder_width=encoder["output_size"], estimator=unet)
    regulator = LengthRegulator(node["length_regulator"]["channels"], len(node["length_regulator"]["sampling_ratios"]))
    return FlowV1(
        **shared,
        encoder=Encoder(**sizes, chunk=int(encoder.get("static_chunk_size", 0))),
        encoder_width=encoder["output_size"],
        regulator=regulator,
        estimator=_unet(estimator, causal=False),
        token_rate=config.token_rate,
        frame_rate=config.sample_rate / config.mel["hop_size"],
    )


def _encoder_sizes(node: Node) -> dict[str, Any]:
    return {
        "inputs": node["input_size"],
        "width": node["output_size"],
        "heads": node["attention_heads"],
        "hidden": node["linear_units"],
        "layers": node["num_blocks"],
    }


def _unet(node: Node, causal: bool) -> UNet:
    return UNet(
        inputs=node["in_channels"],
        outputs=node["out_channels"],
        channels=list(node["channels"]),
        blocks=node["n_blocks"],
        mid_levels=node["num_mid_blocks"],
        heads=node["num_heads"],
        head=node["attention_head_dim"],
        causal=causal,
        chunk=_chunk(node) if causal else 0,
    )


def _chunk(node: Node) -> int:
    """The number of frames that see each other in a chunk-causal pass; 0 in the yaml means all."""
    return int(node.get("static_chunk_size", 50)) or WHOLE


def _dit(node: Node) -> DiT:
    conditions = node["mel_dim"] + node.get("mu_dim", node["mel_dim"]) + node["spk_dim"]
    return DiT(
        mel=node["mel_dim"],
        width=node["dim"],
        depth=node["depth"],
        heads=node["heads"],
        head=node.get("dim_head", 64),
        ff_mult=node.get("ff_mult", 4),
        conditions=conditions,
        chunk=_chunk(node),
        long_skip=bool(node.get("long_skip_connection", False)),
    )


def join_qkv(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`X.to_q.*`, `X.to_k.*`, `X.to_v.*` -> `X.to_qkv.*`, so that one product makes all three."""
    joined: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".to_q." in key and all(key.replace(".to_q.", name) in state for name in (".to_k.", ".to_v.")):
            parts = [state[key.replace(".to_q.", name)] for name in (".to_q.", ".to_k.", ".to_v.")]
            joined[key.replace(".to_q.", ".to_qkv.")] = torch.cat(parts)
        elif ".to_k." not in key and ".to_v." not in key:
            joined[key] = value
    return joined
