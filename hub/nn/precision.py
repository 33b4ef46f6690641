"""What float32 means on a GPU, and that a seed gives the same audio twice: torch's switches, set on purpose at load."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TILE = 512
"""Numbers that CUDA sums up in one block of threads, and so always in the same order."""


def settle_precision(*, tf32: bool = False) -> None:
    """Set torch's switches for CUDA; a family calls it before it loads anything. A CPU does not look at them.

    Kernels are always those that give the same bits again. By default torch lets cuDNN choose ones for transposed
    convolutions, as vocoders have, that add in the order in which their threads happen to arrive.

    `tf32` lets the convolutions and products of float32 parts round their factors to 10 bits, which is faster. torch
    lets convolutions do so by default. The switches hold for the whole process, so a worker has what the strictest of
    its parts needs. It must be off for an encoder or the features before it (the last digits decide on codes), for a
    language model (they decide on draws), and for a source that adds up its pitch (phases drift apart between two
    chunks). It may be on in a worker whose float32 parts are decoders alone, or in half precision besides.
    """
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.deterministic, cudnn.benchmark = True, False
    cudnn.allow_tf32 = products.allow_tf32 = tf32
    # torch.use_deterministic_algorithms stays off: it would sort the positions of each write to a cache. cuBLAS needs
    # no CUBLAS_WORKSPACE_CONFIG, since torch gives each stream a workspace of its own.


def running_sum(values: Tensor) -> Tensor:
    """`values.cumsum(-1)`, on CUDA always in the same order. (..., N) -> (..., N).

    CUDA's own sum over a single long row depends on which of its blocks is first; the cut of a nucleus then moves.
    """
    if values.device.type != "cuda" or values.shape[-1] <= TILE or values.numel() > values.shape[-1]:
        return values.cumsum(-1)
    return _by_tiles(values)


def _by_tiles(values: Tensor) -> Tensor:
    """Each tile by itself, then what lies before it; of at most TILE tiles."""
    length = values.shape[-1]
    tile = max(TILE, -(-length // TILE))
    padded = functional.pad(values, (0, -length % tile))
    parts = padded.unflatten(-1, (-1, tile)).cumsum(-1)
    whole = parts[..., -1]
    return (parts + (whole.cumsum(-1) - whole)[..., None]).flatten(-2)[..., :length]
