"""Loans: things that one request uses at a time and that take long to make, such as a cache with its CUDA graphs.

On a GPU, capturing a graph takes longer than many steps, so a thing that comes back is kept and lent again. Elsewhere
there is no graph to keep: each request gets a thing of its own, of exactly its size, which is dropped after the
request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

T = TypeVar("T")

SHARE = 4
"""One part in so many of a GPU's free memory is for things that are made before anybody needs them."""


class Loans(Generic[T]):
    """Lends things by their size. Keeps up to `keep` idle ones, and drops the smallest first.

    `make(size)` makes one, `size_of` returns its size, and `rounded` rounds a size up where things are kept, so that
    there are few sizes. `made_ready` is called before each loan, to clear what the last loan has left.
    """

    def __init__(
        self,
        make: Callable[[int], T],
        *,
        size_of: Callable[[T], int],
        device: torch.device,
        keep: int,
        rounded: Callable[[int], int] = lambda size: size,
        made_ready: Callable[[T], None] = lambda thing: None,
    ) -> None:
        self.keeps = device.type == "cuda" and keep > 0
        self._make = make
        self._size_of = size_of
        self._keep = keep
        self._rounded = rounded
        self._made_ready = made_ready
        self._idle: list[T] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, size: int) -> Iterator[T]:
        """Lend a thing of `size` or larger for the duration of the block."""
        thing = self.take(size)
        try:
            yield thing
        finally:
            self.give_back(thing)

    def take(self, size: int) -> T:
        """Lend a thing of `size` or larger until `give_back`: the smallest idle one that fits, else a new one."""
        thing = self._fitting(size) if self.keeps else None
        if thing is None:
            self._make_room()
            # Outside of inference mode whatever the caller is in: what is made inside can only be changed inside.
            with torch.inference_mode(False):
                thing = self._make(self._rounded(size) if self.keeps else size)
        self._made_ready(thing)
        return thing

    def give_back(self, thing: T) -> None:
        """End the loan of `thing`."""
        if self.keeps:
            with self._lock:
                self._idle.append(thing)
                if len(self._idle) > self._keep:
                    del self._idle[self._smallest(range(len(self._idle)))]

    def fill(self, size: int, prepare: Callable[[T], None]) -> None:
        """Make as many things of `size` as are kept, `prepare` each, and keep them, where things are kept.

        Then a request that needs no more than `size` finds one whose graphs are captured.
        """
        if self.keeps:
            things = [self.take(size) for _ in range(self._keep)]
            for thing in things:
                prepare(thing)
                self.give_back(thing)

    def clear(self) -> None:
        """Drop all idle things."""
        with self._lock:
            self._idle.clear()

    def _make_room(self) -> None:
        """Drop the smallest idle thing if there are `keep`, because a new one will be made."""
        with self._lock:
            if self.keeps and len(self._idle) >= self._keep:
                del self._idle[self._smallest(range(len(self._idle)))]

    def _fitting(self, size: int) -> T | None:
        with self._lock:
            fitting = [index for index, thing in enumerate(self._idle) if self._size_of(thing) >= size]
            return self._idle.pop(self._smallest(fitting)) if fitting else None

    def _smallest(self, indices: Iterable[int]) -> int:
        return min(indices, key=lambda index: self._size_of(self._idle[index]))


def affordable(longest: int, least: int, *, each: int, count: int, device: torch.device) -> int:
    """A size for `count` things on a GPU that are made in advance: `longest`, or the largest of 1, 2, 4, ... times
    `least` for which they take no more than a quarter of the free memory, with `each` bytes a unit of size; `least` at
    least.
    """
    room = torch.cuda.mem_get_info(device)[0] // SHARE // count
    if longest <= least or each * longest <= room:
        return longest
    size = least
    while each * 2 * size <= room and 2 * size < longest:
        size *= 2
    return size
