"""Errors of a device, told from others by their classes' names and their first words: the engine imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from hub.contract.errors import HubError

DeviceError = Literal["memory", "broken"]
"""`memory`: the device is full, and the next request may fit. `broken`: this process can use the device no more."""

_FULL = frozenset({"OutOfMemoryError", "MemoryError"})
_FAILED = frozenset({"AcceleratorError"})
"""Names of classes, their subclasses included; torch's, and Python's own."""

# Only how a message begins decides: the rest may quote a caller's text.
_FULL_WORDS = re.compile(
    r"(CUDA|HIP) out of memory|MPS backend out of memory|(CUDA|HIP) error: out of memory"
    r"|CUDA error: CUBLAS_STATUS_ALLOC_FAILED|cuDNN error: CUDNN_STATUS_ALLOC_FAILED"
    r"|\[enforce fail at [\w.]+:\d+\].{0,40}can't allocate memory"
    r"|\[ONNXRuntimeError\].*(CUDA failure 2:|Failed to allocate memory)",
    re.DOTALL,
)
_FAILED_WORDS = re.compile(
    r"CUDA error: (?!CUBLAS_STATUS_(NOT_SUPPORTED|INVALID_VALUE|ARCH_MISMATCH))|HIP error: "
    r"|cuDNN error: CUDNN_STATUS_(EXECUTION_FAILED|MAPPING_ERROR|INTERNAL_ERROR)|cuFFT error: CUFFT_(EXEC|INTERNAL)"
    r"|\[ONNXRuntimeError\].*CUDA failure \d+:",
    re.DOTALL,
)
_CAPTURE = re.compile(r"captur")


def device_error(error: BaseException) -> DeviceError | None:
    """The kind of an error of the device; None for any other error.

    Errors that it came from count too: a damaged file may be one for which there was no memory. Whoever raises an error
    of their own `from None` has dealt with a full device, but no backend can deal with a broken one.
    """
    chain = [(_kind(one), hidden, str(one)) for one, hidden in _chain(error)]
    found = [(kind, words) for kind, hidden, words in chain if kind == "broken" or (kind and not hidden)]
    # An error inside the capture of a graph is followed by one that says so, and that decides nothing by itself.
    telling = [kind for kind, message in found if kind == "memory" or not _CAPTURE.search(message)]
    return telling[0] if telling else found[0][0] if found else None


def _kind(error: BaseException) -> DeviceError | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    words = "" if isinstance(error, HubError) else str(error)
    if names & _FULL or _FULL_WORDS.match(words):
        return "memory"
    if names & _FAILED or _FAILED_WORDS.match(words):
        return "broken"
    return None


def _chain(error: BaseException | None) -> Iterator[tuple[BaseException, bool]]:
    """The error, then what it was raised from or while handling; each with True if `from None` hides it."""
    seen: set[int] = set()
    hidden = False
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error, hidden
        hidden = hidden or (error.__cause__ is None and error.__suppress_context__)
        error = error.__cause__ or error.__context__
