"""Sound <-> codes, whole or while the codes arrive."""

from __future__ import annotations

import torch
from torch import Tensor

from hub.contract.errors import InvalidAudio
from hub_fish_speech.model.codec.layers import State
from hub_fish_speech.model.codec.network import Network

LATENT_WINDOW = 128
"""Columns of codes that are converted to latents at a time."""

CPU_WINDOW, GPU_WINDOW = 8, 64
"""Columns of codes that are decoded or encoded at a time, so that memory does not grow with the sound.

Few enough for the caches of a CPU (measured: docs/performance.md), many enough to keep a GPU busy.
"""


class Codec:
    """One codec, in float32. It holds no state of a call, so several threads may use it at once.

    Codes are (C, T) int64 on the CPU, sound is (N,) float32 at `sample_rate`; `frame` samples are one column of codes.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.sample_rate = network.sample_rate
        self.frame = network.frame
        self.codebooks = len(network.entries)
        self.window = CPU_WINDOW if device.type == "cpu" else GPU_WINDOW
        self._last = torch.tensor(network.entries, device=device)[:, None] - 1

    @torch.inference_mode()
    def encode(self, wave: Tensor) -> Tensor:
        """The codes of a recording: all columns, as a prompt takes them.

        Raises InvalidAudio for a recording that is too short.
        """
        shortest = self.network.shortest
        if wave.numel() < shortest:
            least = shortest / self.sample_rate
            raise InvalidAudio(f"a reference recording of at least {least:.3f} s is needed", least=least)
        sound = wave.to(self.device, torch.float32)[None]
        return self.network.encode(sound, self.window)[0].cpu()

    def filled(self, samples: int) -> int:
        """The number of columns that the vendor's encoding route gives for so many samples.

        1.x drops a last, half-filled column.
        """
        return self.network.filled(samples)

    def decode(self, codes: Tensor) -> Tensor:
        """The sound of codes: T * frame samples. Ids above those of a codebook count as its last one."""
        return self.stream().feed(codes)

    def stream(self) -> CodecStream:
        """A decoder for codes that arrive in pieces."""
        return CodecStream(self)

    def usable(self, codes: Tensor) -> Tensor:
        """A copy of codes (C', T) on the device: the rows of this codec, ids within its codebooks, (1, C, T)."""
        if codes.dim() != 2 or codes.shape[0] < self.codebooks:
            raise ValueError(f"got codes of shape {tuple(codes.shape)}; the codec needs {self.codebooks} rows")
        rows = codes[: self.codebooks].to(self.device, torch.int64)
        return rows.clamp(min=0).minimum(self._last)[None]


class CodecStream:
    """One sound, decoded while its codes arrive. The pieces together are `Codec.decode` of all codes.

    The codecs are causal, so every column gives its samples at once, and the memory that a stream holds depends on the
    codec alone, not on the length of the sound.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._state: State = {}

    @torch.inference_mode()
    def feed(self, codes: Tensor) -> Tensor:
        """The sound of further codes (C, t): t * frame samples, (N,) float32 on the CPU."""
        codec, network = self._codec, self._codec.network
        made = []
        for span in codec.usable(codes).split(LATENT_WINDOW, dim=2):
            if span.shape[2] == 0:
                continue
            latent = network.dequantize(span, self._state)
            made += [network.synthesise(part, self._state)[0] for part in latent.split(codec.window * network.steps, 1)]
        return torch.cat(made).cpu() if made else torch.zeros(0)

    def finish(self) -> Tensor:
        """The samples after the last codes: none, because each column gives its samples at once."""
        self._state.clear()
        return torch.zeros(0)
