"""Fish Speech without a hub: the three steps of the vendor's command line, one by one.

Needs torch; the commands import it only when they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hub.contract import ModelConfig, Sampling
from hub.contract.backend import Dtype
from hub.contract.errors import InvalidRequest
from hub.nn.device import Placement, find_device, find_dtype
from hub.nn.precision import settle_precision
from hub_fish_speech.capabilities import BACKEND
from hub_fish_speech.checkpoint.codec import load_codec
from hub_fish_speech.machinery import load_machinery
from hub_fish_speech.prompt import Example
from hub_fish_speech.session import session_pool
from hub_fish_speech.speaking import Speaking
from hub_fish_speech.text.segments import segments_of
from hub_fish_speech.voices import encode

Codes = npt.NDArray[np.int64]
"""(C, T)."""

DEVICE_OPTION = "--device"

DEFAULTS = Sampling()


def read_codes(path: Path) -> Codes:
    """The codes in a `.npy` file, as the vendor's tools write them. Raises InvalidRequest for other files, OSError."""
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
            f"the codes have {codes.shape[0]} codebooks and this model has {codebooks}: another model made them",
            codebooks=codebooks,
        )


class Sound:
    """The codec of a checkpoint folder, alone, for the first and the last step. Raises WorkerStartFailed."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        settle_precision()
        self._codec = load_codec(folder, find_device(device, setting=DEVICE_OPTION))

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
    """The language model of a checkpoint folder, for the step from text to codes. Raises WorkerStartFailed."""

    def __init__(self, folder: Path, device: str = "auto", *, dtype: Dtype = "auto", compiled: bool = False) -> None:
        found = find_device(device, setting=DEVICE_OPTION)
        placement = Placement(found, find_dtype(ModelConfig(name=BACKEND, dtype=dtype), found))
        self._machinery = load_machinery(folder, placement, compiled=compiled)
        self._sessions = session_pool(self._machinery.language, keep=1)

    def codes(
        self,
        text: str,
        references: Sequence[tuple[str, Codes]] = (),
        *,
        seed: int | None = None,
        sampling: Sampling = DEFAULTS,
        chunk_length: int | None = None,
    ) -> Codes:
        """The codes (C, T) of all segments of `text` together. None leaves the variant's default.

        References are transcripts with codes. Raises InvalidRequest if they are too long, or have too few codebooks.
        """
        machinery = self._machinery
        for _, given in references:
            _check_rows(given, machinery.codec.codebooks)
        variant = machinery.variant
        examples = [Example(words, torch.from_numpy(np.asarray(codes, np.int64))) for words, codes in references]
        segments = segments_of(text, variant, chunk_length or variant.chunk_length)
        with Speaking(machinery, self._sessions, examples, sampling=sampling, seed=seed) as speaking:
            parts = [speaking.codes(segment.text) for segment in segments]
        return torch.cat(parts, 1).numpy() if parts else np.zeros((machinery.codec.codebooks, 0), np.int64)
