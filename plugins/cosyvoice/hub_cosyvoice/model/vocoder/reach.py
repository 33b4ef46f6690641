"""The frames that a frame of samples depends on, followed backwards through the vocoder's layers."""

from __future__ import annotations

from typing import NamedTuple

from hub_cosyvoice.model.vocoder.generator import Generator


class Extent(NamedTuple):
    """The first and the last index that are needed."""

    first: int
    last: int

    def wider(self, left: int, right: int) -> Extent:
        """This extent with so many more on each side."""
        return Extent(self.first - left, self.last + right)

    def joined(self, other: Extent) -> Extent:
        """The least extent with both in it."""
        return Extent(min(self.first, other.first), max(self.last, other.last))


def reach(vocoder: Generator) -> tuple[int, int]:
    """Frames of mel and source to the left and to the right of a frame that its samples depend on."""
    sizes, causal = vocoder.sizes, vocoder.causal
    half = sizes.n_fft // 2
    need = Extent((0 - half) // sizes.hop, -(-(vocoder.hop - 1 + half) // sizes.hop))  # spectrum steps of the samples
    need = need.wider(*_sides(vocoder.conv_post.kernel_size[0] - 1, causal))
    count = len(sizes.block_kernels)
    frames = Extent(0, 0)
    for stage in range(len(sizes.rates) - 1, -1, -1):
        widest = max(block.reach for block in vocoder.resblocks[stage * count : (stage + 1) * count])
        need = need.wider(*_sides(widest, causal))
        frames = frames.joined(_source_frames(vocoder, stage, need))
        if stage == len(sizes.rates) - 1:
            need = need.wider(1, -1)  # the reflected step in front moves everything by one
        need = _before_upsampling(need, sizes.kernels[stage], sizes.rates[stage], causal)
    kernel = vocoder.conv_pre.kernel_size[0]
    frames = frames.joined(need.wider(0, kernel - 1) if causal else need.wider(*_sides(kernel - 1, False)))
    return -frames.first, frames.last


def _sides(reach: int, causal: bool) -> tuple[int, int]:
    return (reach, 0) if causal else (reach // 2, reach // 2)


def _before_upsampling(need: Extent, kernel: int, rate: int, causal: bool) -> Extent:
    if causal:
        return Extent((need.first - kernel + 1) // rate, need.last // rate)
    padding = (kernel - rate) // 2
    return Extent(-(-(need.first + padding - kernel + 1) // rate), (need.last + padding) // rate)


def _source_frames(vocoder: Generator, stage: int, need: Extent) -> Extent:
    """Frames of the source that these steps of a stage depend on."""
    need = need.wider(*_sides(vocoder.source_resblocks[stage].reach, vocoder.causal))
    down = vocoder.source_downs[stage]
    kernel, rate = down.kernel_size[0], down.stride[0]
    padding = down.left if vocoder.causal else down.padding[0]
    steps = Extent(need.first * rate - padding, need.last * rate - padding + kernel - 1)
    half = vocoder.sizes.n_fft // 2
    hop = vocoder.sizes.hop
    return Extent((steps.first * hop - half) // vocoder.hop, (steps.last * hop + half - 1) // vocoder.hop)
