"""The two encoders that GPT-SoVITS builds on: Chinese HuBERT (audio) and Chinese RoBERTa (text).

Architectures and names are those of Hugging Face's `HubertModel` (base: group norm in the first convolution, layer
norms after the residuals) and `BertModel`. They are written here because importing transformers takes longer than
everything else at a worker's start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from hub.contract.errors import UnspeakableText
from hub.nn.attention import attend
from hub.nn.weights import CheckpointError, fold_weight_norm, load_state, without_prefix
from hub_gpt_sovits.model.blank import Table, filled

LONGEST = 510
"""Characters that BERT reads at once, between its own two tokens."""

UNREAD_LAYERS = 2
"""The BERT features are the third last hidden state, so the last two layers are not needed."""


class Attention(nn.Module):
    """Full self-attention, (B, T, C)."""

    def __init__(self, width: int, heads: int, names: tuple[str, str, str]) -> None:
        super().__init__()
        self.heads, self.names = heads, names
        for name in names:
            self.add_module(name, nn.Linear(width, width))

    def attended(self, x: Tensor) -> Tensor:
        """(B, T, C) -> the same, before any output projection."""
        query, key, value = (
            self.get_submodule(name)(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in self.names
        )
        return attend(query, key, value).transpose(1, 2).flatten(2)


class HubertAttention(Attention):
    """Self-attention with its output projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, ("q_proj", "k_proj", "v_proj"))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(self.attended(x))


class HubertLayer(nn.Module):
    """x = LN(x + attention(x)); x = LN(x + W2 gelu(W1 x))."""

    def __init__(self, width: int, inner: int, heads: int, eps: float) -> None:
        super().__init__()
        self.attention = HubertAttention(width, heads)
        self.layer_norm = nn.LayerNorm(width, eps)
        dense = {"intermediate_dense": nn.Linear(width, inner), "output_dense": nn.Linear(inner, width)}
        self.feed_forward = nn.ModuleDict(dense)
        self.final_layer_norm = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.attention(x))
        inner = F.gelu(self.feed_forward["intermediate_dense"](x))
        return self.final_layer_norm(x + self.feed_forward["output_dense"](inner))


class Convolution(nn.Module):
    """One of the convolutions that turn samples into frames; the first has a group norm."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, bias: bool, normed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out, kernel, stride, bias=bias)
        self.layer_norm = nn.GroupNorm(out, out) if normed else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.gelu(x if self.layer_norm is None else self.layer_norm(x))


class HubertNet(nn.Module):
    """Samples (B, N) at 16 kHz -> hidden states (B, T, D) of the last layer."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, eps, channels = config["hidden_size"], config["layer_norm_eps"], [1, *config["conv_dim"]]
        convolutions = [
            Convolution(channels[number], channels[number + 1], kernel, stride, config["conv_bias"], number == 0)
            for number, (kernel, stride) in enumerate(zip(config["conv_kernel"], config["conv_stride"], strict=True))
        ]
        self.feature_extractor = nn.ModuleDict({"conv_layers": nn.Sequential(*convolutions)})
        self.feature_projection = nn.ModuleDict(
            {"layer_norm": nn.LayerNorm(channels[-1], eps), "projection": nn.Linear(channels[-1], width)}
        )
        kernel, groups = config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"]
        position = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        layers = [
            HubertLayer(width, config["intermediate_size"], config["num_attention_heads"], eps)
            for _ in range(config["num_hidden_layers"])
        ]
        self.encoder = nn.ModuleDict(
            {
                "pos_conv_embed": nn.ModuleDict({"conv": position}),
                "layer_norm": nn.LayerNorm(width, eps),
                "layers": nn.Sequential(*layers),
            }
        )

    def forward(self, wave: Tensor) -> Tensor:
        x = self.feature_extractor["conv_layers"](wave[:, None]).transpose(1, 2)
        x = self.feature_projection["projection"](self.feature_projection["layer_norm"](x))
        position = self.encoder["pos_conv_embed"]["conv"](x.transpose(1, 2))  # type: ignore[index]
        x = x + F.gelu(position[:, :, : x.shape[1]]).transpose(1, 2)  # an even kernel gives one frame too many
        return self.encoder["layers"](self.encoder["layer_norm"](x))


class Hubert(nn.Module):
    """Waveform (1, N) at 16 kHz, not normalised, followed by `zeros` zeros -> (1, D, T), 50 frames a second."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        config = {**HUBERT_DEFAULTS, **_config(folder, "HuBERT")}
        if config["feat_extract_norm"] != "group" or config["do_stable_layer_norm"]:
            raise CheckpointError("this HuBERT does not have the base architecture that GPT-SoVITS uses")
        state = {name.removeprefix("hubert."): value.float() for name, value in load_state(folder).items()}
        state = {name: value for name, value in state.items() if not name.startswith(("masked_spec_embed", "lm_head."))}
        self.net = filled(lambda: HubertNet(config), fold_weight_norm(state), _file(folder))

    def forward(self, wave: Tensor, zeros: int = 0) -> Tensor:
        return self.net(F.pad(wave, (0, zeros))).transpose(1, 2)


HUBERT_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-5,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
}
"""Defaults of the keys that a `config.json` may leave out."""


class BertLayer(nn.Module):
    """x = LN(x + attention(x)); x = LN(x + W2 gelu(W1 x))."""

    def __init__(self, width: int, inner: int, heads: int, eps: float) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {
                "self": Attention(width, heads, ("query", "key", "value")),
                "output": nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, width), "LayerNorm": nn.LayerNorm(width, eps)})

    def forward(self, x: Tensor) -> Tensor:
        end: Any = self.attention["output"]
        attention: Any = self.attention["self"]
        x = end["LayerNorm"](x + end["dense"](attention.attended(x)))
        inner = F.gelu(self.intermediate["dense"](x))
        return self.output["LayerNorm"](x + self.output["dense"](inner))


class BertNet(nn.Module):
    """Token ids (1, T) -> hidden states (1, T, D) after `layers` layers."""

    def __init__(self, config: Mapping[str, Any], layers: int) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-12)
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": Table(config["vocab_size"], width),
                "position_embeddings": Table(config.get("max_position_embeddings", 512), width),
                "token_type_embeddings": Table(config.get("type_vocab_size", 2), width),
                "LayerNorm": nn.LayerNorm(width, eps),
            }
        )
        sizes = width, config["intermediate_size"], config["num_attention_heads"], eps
        self.encoder = nn.ModuleDict({"layer": nn.Sequential(*(BertLayer(*sizes) for _ in range(layers)))})

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.embeddings["word_embeddings"](ids) + self.embeddings["token_type_embeddings"](torch.zeros_like(ids))
        x = self.embeddings["LayerNorm"](x + self.embeddings["position_embeddings"](positions))
        return self.encoder["layer"](x)


class Bert(nn.Module):
    """Normalised Chinese text -> features (D, phones)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        config = _config(folder, "RoBERTa")
        layers = int(config["num_hidden_layers"])
        unread = tuple(f"encoder.layer.{number}." for number in range(layers - UNREAD_LAYERS, layers))
        kept = {
            name: value.float()
            for name, value in without_prefix(load_state(folder), "bert.").items()
            if not name.startswith((*unread, "pooler.")) and not name.endswith("position_ids")
        }
        self.net = filled(lambda: BertNet(config, layers - UNREAD_LAYERS), kept, _file(folder))
        self.width = int(config["hidden_size"])
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError("tokenizer.json of RoBERTa is missing or damaged", file="tokenizer.json") from error

    def forward(self, text: str, word2ph: tuple[int, ...]) -> Tensor:
        """`word2ph[i]` phones for character i. Raises UnspeakableText if characters and tokens do not match.

        A longer text than BERT reads at once is read in windows.
        """
        windows = [slice(start, start + LONGEST) for start in range(0, max(1, len(word2ph)), LONGEST)]
        return torch.cat([self._window(text[window], word2ph[window]) for window in windows], 1)

    def zeros(self, phones: int) -> Tensor:
        """The features of phones that BERT does not read, (D, phones)."""
        return next(self.parameters()).new_zeros(self.width, phones)

    def _window(self, text: str, word2ph: tuple[int, ...]) -> Tensor:
        ids = self.tokenizer.encode(text).ids
        if len(ids) != len(word2ph) + 2:
            raise UnspeakableText("the Chinese text has characters that its language model cannot read one by one")
        device = next(self.parameters()).device
        states = self.net(torch.tensor([ids], device=device))[0, 1:-1]  # (characters, D)
        return states.repeat_interleave(torch.tensor(word2ph, device=device), 0).t()


def _config(folder: Path, what: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"config.json of {what} is missing or damaged", file="config.json") from error
    return found


def _file(folder: Path) -> str:
    return f"{folder.name}/pytorch_model.bin"
