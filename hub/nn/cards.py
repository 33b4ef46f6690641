"""NVIDIA cards: the types that each computes in, and which of them torch's build has code for."""

from __future__ import annotations

import re

import torch

BFLOAT16 = (8, 0)
"""Compute capability from which on a card computes in bfloat16; older ones only imitate it."""

FLOAT16 = (7, 0)
"""From which on float16 is fast and sound. On older cards, and on those of _NO_TENSOR_CORES, cuDNN's gives NaN."""

_NO_TENSOR_CORES = re.compile(r"GTX 16\d\d|\bMX[45]50\b|\bT\d{3,4}\b")
"""Names of the cards of 7.5 without tensor cores: GTX 1630 to 1660, their mobile ones, and T400 to T2000."""


def best_half(device: torch.device, half: torch.dtype) -> torch.dtype:
    """The type for `dtype = "auto"` on a CUDA device: `half` if the card has it, else float16, else float32."""
    capability = torch.cuda.get_device_capability(device)
    if capability >= BFLOAT16:
        return half
    sound = capability >= FLOAT16 and not _NO_TENSOR_CORES.search(torch.cuda.get_device_name(device))
    return torch.float16 if sound else torch.float32


def computes_in(device: torch.device, dtype: torch.dtype) -> bool:
    """False if the card only imitates `dtype`."""
    return dtype != torch.bfloat16 or torch.cuda.get_device_capability(device) >= BFLOAT16


def is_supported(device: torch.device) -> bool:
    """True if torch's build has code for the card: for its generation, or code that the driver translates for it."""
    built = torch.cuda.get_arch_list()
    if torch.version.hip is not None or not built:
        return True
    major, minor = torch.cuda.get_device_capability(device)
    for architecture in built:
        kind, _, digits = architecture.partition("_")
        if not digits.isdigit():  # sm_90a: for that card alone, and always beside sm_90
            continue
        theirs = divmod(int(digits), 10)
        if kind == "compute" and theirs <= (major, minor):
            return True
        if kind == "sm" and theirs[0] == major and theirs[1] <= minor:
            return True
    return False


def why_unsupported(device: torch.device) -> str:
    """The reason for which `is_supported` is false."""
    built = ", ".join(torch.cuda.get_arch_list())
    return f"torch {torch.__version__}, built for {built}, has no code for {shown(device)}"


def shown(device: torch.device) -> str:
    """A card for people: `cuda:0 (Tesla T4, compute capability 7.5)`."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"{device} ({torch.cuda.get_device_name(device)}, compute capability {major}.{minor})"
