"""Runs the family's own code for `bench.gpt_sovits`, from a checkout; none of it is in this repository.

Its networks' dependencies must be importable: einops, x-transformers, torchmetrics, tqdm.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from hub_gpt_sovits.checkpoint import load_s1, load_s2
from torch import Tensor


class Official:
    """The family's S1 and S2 on the weights of a release folder, called as by its API, without its text front end."""

    def __init__(self, checkout: Path, s1: Path, s2: Path, speaker: Path | None) -> None:
        for folder in (checkout, checkout / "GPT_SoVITS", checkout / "GPT_SoVITS" / "eres2net"):
            sys.path.insert(0, str(folder))
        warnings.simplefilter("ignore")
        with quiet():
            decoder = importlib.import_module("AR.models.t2s_model").Text2SemanticDecoder
            synthesizer = importlib.import_module("module.models").SynthesizerTrn
            file = load_s1(s1)
            self.s1: Any = decoder(file.config).eval()
            self.s1.load_state_dict(file.weights)
            acoustic = load_s2(s2)
            data, model = acoustic.config["data"], {**acoustic.config["model"], "version": acoustic.version}
            segment = acoustic.config["train"]["segment_size"] // data["hop_length"]
            self.s2: Any = synthesizer(
                data["filter_length"] // 2 + 1, segment, n_speakers=data["n_speakers"], **model
            ).eval()
            self.s2.load_state_dict(weights_of(s2), strict=False)
            self.speaker: Any = None
            if speaker is not None:
                network = importlib.import_module("ERes2NetV2").ERes2NetV2
                self._fbank: Any = importlib.import_module("kaldi")
                self.speaker = network(baseWidth=24, scale=4, expansion=4).eval()
                self.speaker.load_state_dict(torch.load(speaker, weights_only=True), strict=False)

    @torch.no_grad()
    def tokens(self, phones: Tensor, bert: Tensor, prompt: Tensor, limit: int) -> Tensor:
        """Return the semantic tokens of one segment, with the family's defaults: (N,)."""
        with quiet():
            found, index = self.s1.infer_panel_batch_infer(
                [phones], torch.tensor([len(phones)]), prompt[None], [bert], top_k=15, top_p=1.0,
                early_stop_num=limit, temperature=1.0, repetition_penalty=1.35, max_len=len(phones),
            )  # fmt: skip
        new: Tensor = found[0][-index[0] :]
        return new

    @torch.no_grad()
    def sound(self, tokens: Tensor, phones: Tensor, spec: Tensor, wave16k: Tensor) -> Tensor:
        """Return the waveform of tokens, (N,); like the family's code, encode the reference again for each batch."""
        vectors = [self._vector(wave16k)] if self.speaker is not None else None
        wave: Tensor = self.s2.decode(tokens[None, None], phones[None], [spec], speed=1, sv_emb=vectors)[0, 0]
        return wave

    @torch.no_grad()
    def first_chunk(
        self, phones: Tensor, own: Tensor, bert: Tensor, prompt: Tensor, spec: Tensor, wave16k: Tensor, size: int
    ) -> Tensor:
        """Run streaming mode 3, up to the first chunk of `size` tokens."""
        with quiet():
            vectors = [self._vector(wave16k)] if self.speaker is not None else None
            steps: Iterator[tuple[Tensor, bool]] = self.s1.infer_panel_naive(
                phones[None], torch.tensor([len(phones)]), prompt[None], bert[None], top_k=15, top_p=1.0,
                early_stop_num=1500, temperature=1.0, repetition_penalty=1.35, streaming_mode=True, chunk_length=size,
                mute_emb_sim_matrix=None,
            )  # fmt: skip
            tokens, _ = next(steps)
            wave, _, _ = self.s2.decode_streaming(tokens[None], own[None], [spec], sv_emb=vectors, padding_length=0)
        first: Tensor = wave[0, 0]
        return first

    def _vector(self, wave: Tensor) -> Tensor:
        bands = self._fbank.fbank(wave, num_mel_bins=80, sample_frequency=16000, dither=0)
        vector: Tensor = self.speaker.forward3(bands[None])
        return vector


def weights_of(path: Path) -> dict[str, Tensor]:
    """Return the file's tensors in float32, with weight norm unchanged."""
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return {name: value.float() for name, value in loaded["weight"].items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the family's progress bars and prints, which do not belong in a table."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
