"""The two encoders that come from transformers: Chinese HuBERT (audio) and Chinese RoBERTa (text)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel, HubertConfig, HubertModel

from hub.contract.errors import UnspeakableText
from hub.nn.weights import CheckpointError, load_state, load_strict, without_prefix

APPENDED_ZEROS = 9600
"""Zeros behind a reference at 16 kHz: 0.3 s counted at 32 kHz, an accident that the models were trained with."""

LONGEST = 510
"""Characters that BERT reads at once; its own two marks stand around them."""

UNREAD_LAYERS = 2
"""The BERT features are the third last hidden state, so the last two layers are not needed."""


class Hubert(nn.Module):
    """Waveform (1, N) at 16 kHz, not normalised -> (1, D, T), 50 frames a second."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        config = HubertConfig(**_config(folder, "HuBERT"))
        config._attn_implementation = "sdpa"
        self.net = HubertModel(config)
        state = {name.removeprefix("hubert."): value for name, value in load_state(folder).items()}
        state = {_new_name(name): value.float() for name, value in state.items()}
        load_strict(self.net, {n: v for n, v in state.items() if not n.startswith(("lm_head.",))}, _file(folder))
        self.net.eval()

    def forward(self, wave: Tensor) -> Tensor:
        padded = nn.functional.pad(wave, (0, APPENDED_ZEROS))
        return self.net(padded).last_hidden_state.transpose(1, 2)

    def plain(self, wave: Tensor) -> Tensor:
        """The same without the zeros behind, as training prepares its data."""
        return self.net(wave).last_hidden_state.transpose(1, 2)


class Bert(nn.Module):
    """Normalised Chinese text -> features (D, phones)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        settings = _config(folder, "RoBERTa")
        layers = int(settings["num_hidden_layers"])
        config = BertConfig(**{**settings, "num_hidden_layers": layers - UNREAD_LAYERS})
        config._attn_implementation = "sdpa"
        self.net = BertModel(config, add_pooling_layer=False)
        state = without_prefix(load_state(folder), "bert.")
        unread = tuple(f"encoder.layer.{number}." for number in range(layers - UNREAD_LAYERS, layers))
        kept = {
            name: value.float()
            for name, value in state.items()
            if not name.startswith((*unread, "pooler.")) and not name.endswith("position_ids")
        }
        load_strict(self.net, kept, _file(folder))
        self.net.eval()
        self.width = config.hidden_size
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

    def _window(self, text: str, word2ph: tuple[int, ...]) -> Tensor:
        ids = self.tokenizer.encode(text).ids
        if len(ids) != len(word2ph) + 2:
            raise UnspeakableText("the Chinese text has characters that its language model cannot read one by one")
        device = self.net.embeddings.word_embeddings.weight.device
        states = self.net(torch.tensor([ids], device=device)).last_hidden_state[0, 1:-1]  # (characters, D)
        return states.repeat_interleave(torch.tensor(word2ph, device=device), 0).t()


def _new_name(name: str) -> str:
    """torch's old weight-norm names -> its new ones."""
    name = name.replace(".weight_g", ".parametrizations.weight.original0")
    return name.replace(".weight_v", ".parametrizations.weight.original1")


def _config(folder: Path, what: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"config.json of {what} is missing or damaged", file="config.json") from error
    return {key: value for key, value in found.items() if key not in ("model_type", "architectures")}


def _file(folder: Path) -> str:
    return f"{folder.name}/pytorch_model.bin"
