"""The machine as the interpreter of a worker finds it, for `ttshub check`. No model is loaded for it."""

from __future__ import annotations

from msgspec import Struct


class Card(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A GPU, as torch numbers them. Sizes are bytes."""

    name: str
    capability: str
    total: int = 0
    free: int = 0


class Onnx(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """ONNX Runtime. `offered`: it is built with CUDA; `works`: a session can compute there."""

    version: str
    offered: bool = False
    works: bool = False


class Machine(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """torch, its driver and its cards, and where a model would compute.

    `cuda` is the version that torch is built for ("": without CUDA), `missing` says why torch finds no card.
    `placement` is "cuda:0 in bfloat16"; `problem` is the error with which the model's load would end. Both are "" for a
    backend with rules of its own.
    """

    torch: str
    cuda: str = ""
    driver: str = ""
    cards: tuple[Card, ...] = ()
    missing: str = ""
    placement: str = ""
    problem: str = ""
    onnx: Onnx | None = None
