"""Fish Speech without a hub: the three steps of the vendor's command line, one by one.

Needs torch; the commands import it only when they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hub.contract.errors import InvalidRequest
from hub.nn.sampling import request_generator
from hub_fish_speech.codec import load_codec
from hub_fish_speech.prompt import Example
from hub_fish_speech.references import encode
from hub_fish_speech.sampling import Draws
from hub_fish_speech.session import RequestNoise, Session
from hub_fish_speech.speaking import Limits, Speaking
from hub_fish_speech.text import segments_of
from hub_fish_speech.voiced import find_device, load_voiced

Codes = npt.NDArray[np.int64]
"""(C, T)."""


def read_codes(path: Path) -> Codes:
    """The codes in a `.npy` file, as the vendor's tools write them. Raises InvalidRequest for what is none, OSError."""
    try:
        codes = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        codes = np.zeros(0)
    if codes.ndim == 3 and codes.shape[0] == 1:
        codes = codes[0]
    if codes.ndim != 2 or not codes.size or codes.dtype.kind not in "iu" or codes.min() < 0:
        raise InvalidRequest(f"{path.name} has no codes: it must be a .npy of whole numbers, codebooks by frames")
    return codes.astype(np.int64)


def _check_rows(codes: Codes, codebooks: int) -> None:
    if codes.shape[0] < codebooks:
        raise InvalidRequest(
            f"the codes have {codes.shape[0]} codebooks and this model has {codebooks}: they are of another model",
            codebooks=codebooks,
        )


class Sound:
    """The codec of a checkpoint folder, alone: the first and the last step."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self._codec = load_codec(folder, find_device(device))

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self._codec.sample_rate

    def encode(self, audio: bytes) -> Codes:
        """A sound file -> codes (C, T). Raises InvalidAudio."""
        return encode(audio, self._codec).numpy()

    def decode(self, codes: Codes) -> npt.NDArray[np.float32]:
        """Codes (C, T) -> samples (N,). Raises InvalidRequest for codes with too few codebooks."""
        _check_rows(codes, self._codec.codebooks)
        return self._codec.decode(torch.from_numpy(np.ascontiguousarray(codes))).numpy()


class Semantics:
    """The language model of a checkpoint folder: the step from text to codes."""

    def __init__(self, folder: Path, device: str = "auto", *, dtype: str = "auto", compiled: bool = False) -> None:
        self._voiced = load_voiced(folder, device=device, dtype=dtype, compiled=compiled)

    def codes(
        self,
        text: str,
        references: Sequence[tuple[str, Codes]] = (),
        *,
        seed: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        repetition_penalty: float | None = None,
        max_new_tokens: int = 0,
        chunk_length: int | None = None,
    ) -> Codes:
        """What the codec is to say: (C, T), of all segments of `text` together. None leaves the variant's default.

        References are transcripts with codes. Raises InvalidRequest if they are too long, or have too few codebooks.
        """
        voiced = self._voiced
        for _, given in references:
            _check_rows(given, voiced.codec.codebooks)
        variant = voiced.language.variant
        draws = Draws(
            temperature=variant.temperature if temperature is None else temperature,
            top_p=variant.top_p if top_p is None else top_p,
            repetition_penalty=variant.repetition_penalty if repetition_penalty is None else repetition_penalty,
            top_k=(variant.top_k if top_k is None else top_k) or None,
        )
        speaking = Speaking(
            voiced,
            Session(voiced.language),
            [Example(words, torch.from_numpy(np.asarray(codes, np.int64))) for words, codes in references],
            draws=draws,
            noise=RequestNoise(request_generator(seed, voiced.language.model.device)),
            limits=Limits(max_new_tokens, 1.0),
        )
        segments = segments_of(text, variant, chunk_length or variant.chunk_length)
        parts = [speaking.codes(segment.text) for segment in segments]
        return torch.cat(parts, 1).numpy() if parts else np.zeros((voiced.codec.codebooks, 0), np.int64)
