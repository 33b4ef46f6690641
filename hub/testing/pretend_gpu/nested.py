"""Tensors inside the arguments and results of operations: alone, in lists and in tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor


def tensors_in(values: Iterable[Any]) -> list[Tensor]:
    """All tensors, in order."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += tensors_in(value)
    return found


def with_tensors(change: Callable[[Tensor], Any], value: Any) -> Any:
    """`value` with each tensor replaced by what `change` makes of it."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        made = [with_tensors(change, one) for one in value]
        return tuple(made) if type(value) is tuple else type(value)(made)
    if isinstance(value, list):
        return [with_tensors(change, one) for one in value]
    return value


def with_tensors_by_name(change: Callable[[Tensor], Any], values: dict[str, Any]) -> dict[str, Any]:
    """The same for keyword arguments."""
    return {name: with_tensors(change, value) for name, value in values.items()}
