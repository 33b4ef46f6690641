"""Networks without weights, which files then fill: no time is spent on random weights that would be thrown away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from hub.nn.weights import load_strict

_Net = TypeVar("_Net", bound=nn.Module)


class Table(nn.Embedding):
    """An embedding without initialisation, which on the meta device would import torch's compiler, for seconds."""

    def reset_parameters(self) -> None:
        """Do nothing: a file provides the weights."""


def filled(make: Callable[[], _Net], state: Mapping[str, Tensor], file: str, ignore: tuple[str, ...] = ()) -> _Net:
    """The network of `make` with the weights of `state`, in eval mode on the CPU. Raises CheckpointError."""
    with torch.device("meta"):
        net = make()
    net = net.to_empty(device="cpu")
    load_strict(net, state, file, ignore=ignore)
    return net.eval()
