"""Whole checkpoints of all three generations, tiny and with random weights, in the layout of the releases.

The names and shapes of the language models are written down here. Those of flow and vocoder are the plugin's own, which
has the releases' names but for joined and folded weights; the parity cases hold them to the official files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from hub_cosyvoice.checkpoint.flow import build_flow
from hub_cosyvoice.checkpoint.vocoder import build_vocoder
from hub_cosyvoice.config import Config, Node, read_config
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn

from plugins.cosyvoice.tests.support.tiny_onnx import write_campplus, write_speech_tokenizer

YAML = Path(__file__).parent / "yaml"
"""The yaml of each generation."""

FILES = {"v1": "cosyvoice.yaml", "v2": "cosyvoice2.yaml", "v3": "cosyvoice3.yaml"}

PRESETS = {"v1": ("spk_a", "spk_b"), "v2": ("spk_a",), "v3": ("spk_a",)}

LEVELS = {"v1": (2, 8), "v2": (3, 6), "v3": (3, 6)}
"""Levels and digits of the speech tokenizer: 256 ids in the first generation, else 729."""

TEXT_IDS = 900
"""Text ids of generations 2 and 3, more than their tokenizer has."""

SPECIALS = {2: 3, 3: 200}
"""Ids that are not speech in the tables of the language model."""

QWEN = {
    "model_type": "qwen2",
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "vocab_size": TEXT_IDS,
}

State = dict[str, Tensor]


def make_checkpoint(name: str, folder: Path) -> Path:
    """Write the checkpoint of `v1`, `v2` or `v3` to `folder`, which exists."""
    shutil.copyfile(YAML / FILES[name], folder / FILES[name])
    config = read_config(folder)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(config.generation)
        if config.generation == 1:
            torch.save(conformer_state(config), folder / "llm.pt")
        else:
            write_text_model(folder / "CosyVoice-BlankEN")
            torch.save(qwen_state(config), folder / "llm.pt")
        torch.save(flow_state(config), folder / "flow.pt")
        torch.save(vocoder_state(config), folder / "hift.pt")
        presets = {speaker: {"embedding": torch.randn(1, 192)} for speaker in PRESETS[name]}
        torch.save(presets, folder / "spk2info.pt")
        write_campplus(folder / "campplus.onnx")
        write_speech_tokenizer(
            folder / f"speech_tokenizer_{name}.onnx", *LEVELS[name], stride=2 if config.generation == 1 else 4
        )
    return folder


def tiny_model(folder: Path) -> dict[str, Any]:
    """A tiny checkpoint in `folder`, and the `[models.NAME]` table of a model that speaks with it."""
    return {"backend": "cosyvoice", "path": str(make_checkpoint("v2", folder)), "device": "cpu"}


# -- language models ---------------------------------------------------------------------------------------------------


def linear(state: State, name: str, outputs: int, inputs: int, *, bias: bool = True) -> None:
    """Random weights of a linear layer, whose outputs vary as much as its inputs."""
    state[f"{name}.weight"] = torch.randn(outputs, inputs) / inputs**0.5
    if bias:
        state[f"{name}.bias"] = torch.randn(outputs) / 4


def norm(state: State, name: str, width: int, *, bias: bool = True) -> None:
    state[f"{name}.weight"] = 1 + torch.randn(width) / 4
    if bias:
        state[f"{name}.bias"] = torch.randn(width) / 4


def conformer_state(config: Config) -> State:
    """llm.pt of the first generation."""
    llm, encoder, decoder = config.llm, config.llm["text_encoder"], config.llm["llm"]
    width, inputs, speech = encoder["output_size"], llm["llm_input_size"], llm["speech_token_size"]
    state: State = {
        "text_embedding.weight": torch.randn(llm["text_token_size"], llm["text_encoder_input_size"]),
        "llm_embedding.weight": torch.randn(2, inputs),
        "speech_embedding.weight": torch.randn(speech, inputs),
    }
    linear(state, "text_encoder.embed.out.0", width, llm["text_encoder_input_size"])
    norm(state, "text_encoder.embed.out.1", width)
    for number in range(encoder["num_blocks"]):
        conformer_layer(state, f"text_encoder.encoders.{number}", encoder, ("norm_ff", "norm_mha"))
    norm(state, "text_encoder.after_norm", width)
    linear(state, "text_encoder_affine_layer", inputs, width)
    linear(state, "spk_embed_affine_layer", inputs, 192)
    width = decoder["output_size"]
    linear(state, "llm.embed.out.0", width, inputs)
    norm(state, "llm.embed.out.1", width)
    for number in range(decoder["num_blocks"]):
        conformer_layer(state, f"llm.encoders.{number}", decoder, ("norm1", "norm2"))
    norm(state, "llm.after_norm", width)
    linear(state, "llm_decoder", speech + 1, width)
    return state


def conformer_layer(state: State, name: str, node: Node, norms: Iterable[str]) -> None:
    width, heads, hidden = node["output_size"], node["attention_heads"], node["linear_units"]
    for part in ("linear_q", "linear_k", "linear_v", "linear_out"):
        linear(state, f"{name}.self_attn.{part}", width, width)
    linear(state, f"{name}.self_attn.linear_pos", width, width, bias=False)
    for part in ("pos_bias_u", "pos_bias_v"):
        state[f"{name}.self_attn.{part}"] = torch.randn(heads, width // heads)
    linear(state, f"{name}.feed_forward.w_1", hidden, width)
    linear(state, f"{name}.feed_forward.w_2", width, hidden)
    for part in norms:
        norm(state, f"{name}.{part}", width)


def qwen_state(config: Config) -> State:
    """llm.pt of the second and third generation."""
    width, hidden, speech = QWEN["hidden_size"], QWEN["intermediate_size"], config.llm["speech_token_size"]
    shared = width // QWEN["num_attention_heads"] * QWEN["num_key_value_heads"]
    table = torch.randn(TEXT_IDS, width)
    state: State = {"llm.model.model.embed_tokens.weight": table, "llm.model.lm_head.weight": table}
    for number in range(QWEN["num_hidden_layers"]):
        name = f"llm.model.model.layers.{number}"
        for part, outputs in (("q_proj", width), ("k_proj", shared), ("v_proj", shared)):
            linear(state, f"{name}.self_attn.{part}", outputs, width)
        linear(state, f"{name}.self_attn.o_proj", width, width, bias=False)
        linear(state, f"{name}.mlp.gate_proj", hidden, width, bias=False)
        linear(state, f"{name}.mlp.up_proj", hidden, width, bias=False)
        linear(state, f"{name}.mlp.down_proj", width, hidden, bias=False)
        for part in ("input_layernorm", "post_attention_layernorm"):
            norm(state, f"{name}.{part}", width, bias=False)
    norm(state, "llm.model.model.norm", width, bias=False)
    rows = speech + SPECIALS[config.generation]
    state["speech_embedding.weight"] = torch.randn(rows, width)
    linear(state, "llm_decoder", rows, width, bias=config.generation == 2)
    if config.generation == 2:
        state["llm_embedding.weight"] = torch.randn(2, width)
    return state


def write_text_model(folder: Path) -> None:
    """CosyVoice-BlankEN: the sizes of the language model, and a byte-level vocabulary with a few merges."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN))
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(vocab_size=320, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog", "hello world, how are you"], trainer)
    tokenizer.model.save(str(folder))
    size = tokenizer.get_vocab_size()
    tokens = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    added = {str(size + number): {"content": token, "special": True} for number, token in enumerate(tokens)}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))


# -- flow and vocoder --------------------------------------------------------------------------------------------------


def flow_state(config: Config) -> State:
    """flow.pt: queries, keys and values are matrices of their own."""
    state: State = {}
    for key, value in build_flow(config).state_dict().items():
        if ".to_qkv." in key:
            for part, chunk in zip(("to_q", "to_k", "to_v"), value.chunk(3), strict=True):
                state[key.replace("to_qkv", part)] = chunk.clone()
        elif key.endswith("inv_freq"):
            state[key] = 10_000.0 ** -(torch.arange(len(value)) / len(value))
        else:
            state[key] = value
    return state


def vocoder_state(config: Config) -> State:
    """hift.pt: weights are normed, and in the first generation under old names and those of the GAN's trainer."""
    first = config.generation == 1
    vocoder = build_vocoder(config)
    nn.init.normal_(vocoder.m_source.l_linear.weight, std=3.0)
    nn.init.normal_(vocoder.f0_predictor.classifier.weight, std=30.0)
    nn.init.constant_(vocoder.f0_predictor.classifier.bias, 150.0)  # Hz
    vocoder.conv_post.bias += 1.5  # louder: magnitudes are exponents
    magnitude, direction = (
        ("weight_g", "weight_v") if first else (f"parametrizations.weight.original{number}" for number in (0, 1))
    )
    state: State = {}
    for key, value in vocoder.state_dict().items():
        if key.endswith(".weight") and value.dim() == 3 and not key.startswith("source_downs."):
            layer = key.removesuffix("weight")
            state[layer + magnitude] = value.flatten(1).norm(dim=1)[:, None, None]
            state[layer + direction] = value
        else:
            state[key] = value
    return {f"generator.{key}": value for key, value in state.items()} if first else state
