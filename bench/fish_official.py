"""Runs the vendor's own code for `bench.fish_speech`, from a checkout; none of it is in this repository.

The checkout's requirements must be importable. The codec is built from its own configuration, without the checkout's
loading function, because that imports the training framework.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class Official:
    """The vendor's code on a checkpoint, as in its server: one request at a time, audio once all codes are ready."""

    def __init__(self, checkout: Path, checkpoint: Path, device: str, dtype: torch.dtype, *, compiled: bool) -> None:
        sys.path.insert(0, str(checkout))
        os.environ["TQDM_DISABLE"] = "1"
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            importlib.import_module("loguru").logger.remove()
            self._generation: Any = importlib.import_module("fish_speech.models.text2semantic.inference")
            self._codec = _load_codec(checkout, checkpoint).eval().to(device)
        finally:
            logging.disable(logging.NOTSET)
        self._device, self._compiled = device, compiled
        self._model, self._step = self._generation.init_model(checkpoint, device, dtype, compiled)

    def codes(self, text: str, reference: tuple[str, Tensor], frames: int) -> Tensor:
        """Return the codes (C, N) of a text, sampled with the vendor's defaults."""
        answers = self._generation.generate_long(
            model=self._model,
            device=self._device,
            decode_one_token=self._step,
            text=text,
            max_new_tokens=frames,
            compile=self._compiled,
            prompt_text=[reference[0]],
            prompt_tokens=[reference[1]],
        )
        codes: Tensor = next(answer.codes for answer in answers if answer.action == "sample")
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()
        return codes

    @torch.inference_mode()
    def sound(self, codes: Tensor) -> Tensor:
        """Return the audio of codes, (N,)."""
        lengths = torch.tensor([codes.shape[1]], device=self._device)
        sound, _ = self._codec.decode(codes.to(self._device)[None], lengths)
        return sound[0, 0].float().cpu()


def _load_codec(checkout: Path, checkpoint: Path) -> Any:
    omegaconf: Any = importlib.import_module("omegaconf")
    hydra: Any = importlib.import_module("hydra.utils")
    config = omegaconf.OmegaConf.load(checkout / "fish_speech/configs/modded_dac_vq.yaml")
    codec = hydra.instantiate(config)
    found = codec.load_state_dict(torch.load(checkpoint / "codec.pth", weights_only=True), strict=False)
    if lost := [key for key in found.missing_keys if not key.endswith(("freqs_cis", "causal_mask"))]:
        raise ValueError(f"the checkpoint has no weights {lost[0]} for the vendor's codec")
    return codec
