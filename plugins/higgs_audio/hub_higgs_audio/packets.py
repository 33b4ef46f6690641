"""Frames of codes to audio, packet by packet, with the samples that decoding all frames at once would give.

The audio of a frame depends only on `Codec.context` frames on either side. A packet is therefore decoded within a
window that is wider by as much, and cut out of it; at the beginning and the end of the audio there is no context, as in
a single decoding. Windows also limit the memory that a long audio takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hub_higgs_audio.model.codec import Codec

FADE_SECONDS = 0.02
"""The length of the join of an early first packet to the exact one."""

EARLY_CONTEXT = 0
"""Frames that an early first packet waits for."""


class Packet(NamedTuple):
    """Audio (N,), and the frame of the stream at which it begins."""

    wave: Tensor
    frame: int


@dataclass(frozen=True)
class PacketSizes:
    """Frames of the first packet and of later ones. `early` sends the first without waiting for its right context."""

    first: int = 5
    later: int = 25
    early: bool = False


class PacketDecoder:
    """Decodes one stream of frames, which may come in pieces of any size."""

    def __init__(self, codec: Codec, sizes: PacketSizes) -> None:
        self._codec = codec
        self._sizes = sizes
        self._codes = torch.zeros(codec.codebooks, 0, dtype=torch.long)  # from frame `_base` on
        self._base = 0
        self._sent = 0
        self._held: Tensor | None = None  # the inexact end of an early packet

    def feed(self, codes: Tensor) -> Iterator[Packet]:
        """Add frames (K, t); yield the packets that are complete."""
        self._codes = torch.cat([self._codes, codes], 1)
        while True:
            size = self._sizes.later if self._sent else self._sizes.first
            early = self._sizes.early and not self._sent
            if self._sent + size + (EARLY_CONTEXT if early else self._codec.context) > self._end:
                return
            yield self._packet(self._sent + size, early=early)

    def finish(self) -> Iterator[Packet]:
        """End the stream; yield the rest."""
        while self._sent < self._end:
            yield self._packet(min(self._end, self._sent + self._sizes.later), early=False)
        if self._held is not None:  # nothing followed the early packet, so its end is the true one
            held, self._held = self._held, None
            yield Packet(held, self._sent - 1)

    def drop(self) -> None:
        """Drop the frames that are not decoded yet."""
        self._codes = self._codes[:, : self._sent - self._base]

    @property
    def sent(self) -> int:
        """The number of frames whose audio was yielded."""
        return self._sent

    @property
    def received(self) -> int:
        """The number of frames fed so far."""
        return self._end

    @property
    def _end(self) -> int:
        return self._base + self._codes.shape[1]

    def _packet(self, end: int, *, early: bool) -> Packet:
        """The audio of the frames from `_sent` to `end`."""
        begin = self._sent
        exact_from = begin - 1 if self._held is not None else begin  # the join is in the frame before
        left = max(self._base, exact_from - self._codec.context)
        right = min(self._end, end + self._codec.context)
        wave = self._codec.decode(self._codes[:, left - self._base : right - self._base])
        hop = self._codec.hop
        wave = wave[(exact_from - left) * hop : (end - left) * hop]
        if self._held is not None:
            wave = _joined(self._held, wave[hop - len(self._held) :])
            self._held = None
        if early:
            fade = min(hop, round(FADE_SECONDS * self._codec.sample_rate))
            wave, self._held = wave[:-fade], wave[-fade:]
        self._sent = end
        self._forget(end - self._codec.context - 1)
        return Packet(wave, begin)

    def _forget(self, before: int) -> None:
        """Drop the frames before `before`, which no later window needs."""
        if before > self._base:
            self._codes = self._codes[:, before - self._base :]
            self._base = before


def _joined(before: Tensor, after: Tensor) -> Tensor:
    """`after` (N,), faded in over `before`, which is another version of its beginning."""
    count = len(before)
    rise = (torch.arange(count) + 0.5) / count
    return torch.cat([before * (1 - rise) + after[:count] * rise, after[count:]])


def decode_whole(codec: Codec, codes: Tensor, window: int = 250) -> Tensor:
    """Codes (K, T) of any length -> (T * hop,), decoded in windows that limit the memory."""
    decoder = PacketDecoder(codec, PacketSizes(first=window, later=window))
    packets = [*decoder.feed(codes), *decoder.finish()]
    return torch.cat([packet.wave for packet in packets]) if packets else torch.zeros(0)
