"""torch's operations: which of them wait for the device, copy, draw, or give a view."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

WAITING = {
    *("_local_scalar_dense", "equal", "multinomial", "ctc_loss", "_pack_padded_sequence", "_pad_packed_sequence"),
}
"""Operations whose CUDA kernels bring a value to the host."""

DATA_SHAPED = {
    *("nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount"),
    *("repeat_interleave", "nonzero_numpy"),
}
"""Operations whose result has a shape that depends on data; their CUDA kernels wait for it."""

INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
TAKING_NUMBERS = {*INDEXING, "fill_", "masked_fill", "masked_fill_", "where", "full_like", "_efficientzerotensor"}
"""Operations beside the pointwise ones that take a CPU tensor of no dimension as a number."""

FFT = {"_fft_r2c", "_fft_c2r", "_fft_c2c"}

WHOLE = {
    *("scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu"),
}
"""Composite operations that are one kernel on a GPU, and are computed whole."""

UNMODELLED = {"resize_", "set_", "resize_as_", "resize_as_sparse_"}
"""Operations that change the memory of the tensor itself."""


@cache
def name_of(func: Any) -> str:
    """`add` for aten::add.Tensor."""
    return str(func._schema.name).split("::")[1]


@cache
def is_composite(func: Any) -> bool:
    """True for an operation that consists of others."""
    found = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    return bool(found) and name_of(func) not in WHOLE


@cache
def has_kernel(func: Any) -> bool:
    """True if a GPU can run it. A build of torch without CUDA does not know, and says yes to all of torch's own."""
    if not torch.backends.cuda.is_built():
        return str(func.name()).startswith("aten::")
    keys = ("CUDA", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional", "CompositeImplicitAutograd")
    return any(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key) for key in keys)


@cache
def takes_numbers(func: Any) -> bool:
    """True if CPU tensors of no dimension may stand among its tensors, as numbers."""
    return torch.Tag.pointwise in func.tags or name_of(func) in TAKING_NUMBERS


@cache
def turns(func: Any) -> bool:
    """True for operations that change how the tensor itself lies in its memory, such as `transpose_`."""
    return torch.Tag.inplace_view in func.tags


@cache
def allocates_only(func: Any) -> bool:
    """True for `empty` and its kin: memory, and no kernel."""
    return name_of(func) in ("empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "empty_permuted")


@cache
def written_arguments(func: Any) -> tuple[tuple[int, str], ...]:
    """Position and name of each argument that it writes."""
    arguments = func._schema.arguments
    return tuple(
        (number, argument.name)
        for number, argument in enumerate(arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
