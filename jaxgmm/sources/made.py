"""Rows that a function gives, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from jaxgmm.inputs import arguments, arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.rows import Block, RowSource
from jaxgmm.rows.source import digest_of


def from_blocks(function: Callable[[], Iterable[Any]], n_rows: int | None = None) -> RowSource:
    """Rows of whatever can be iterated over again.

    Args:
        function: called for every pass; returns a fresh iterator over arrays (b, d), of any lengths, or over objects
            `jaxgmm.rows.Block` with weights and labels beside the rows. Every pass must give the same rows in the same
            order.
        n_rows: how many rows there are; by default they are counted, which takes a pass.

    Raises:
        TypeError: no function, or one that gives something else.
        ValueError: no rows, or an iterator that can be used only once.

    Example:
        >>> rows = jaxgmm.sources.from_blocks(lambda: (numpy.load(path) for path in paths))
        >>> jaxgmm.fit(0, rows, 12)
    """
    return MadeSource(function, n_rows)


class MadeSource(RowSource):
    """See `from_blocks`."""

    def __init__(self, function: Callable[[], Iterable[Any]], n_rows: int | None = None) -> None:
        if not callable(function):
            wants = "be a function that returns a fresh iterator over blocks, as every pass needs one"
            raise ArgumentTypeError("function", wants, arguments.shown_with_type(function))
        self.function = function
        if isinstance(made := function(), Iterator) and function() is made:
            wants = "return a fresh iterator every time, as every pass needs one"
            raise ArgumentError("function", wants, "the same one twice")
        first = next((block for block in self._given() if len(block.x)), None)
        if first is None:
            raise ArgumentError("function", "give at least one row", "none")
        self.dtype, d = first.x.dtype, first.x.shape[1]
        if n_rows is None:
            held = [(len(block.x), block.x.dtype) for block in self._given()]
            self.shape = sum(n for n, _ in held), d
            self.dtype = np.result_type(*(dtype for _, dtype in held))
        else:
            self.shape = arguments.integer("n_rows", n_rows, 1), d

    def _given(self) -> Iterator[Block]:
        made = self.function()
        if not isinstance(made, Iterable):
            raise ArgumentTypeError("function", "return an iterator over blocks", arguments.shown_with_type(made))
        for number, block in enumerate(made):
            held = block if isinstance(block, Block) else Block(block)
            x = arrays.to_numpy(f"block {number} of x", held.x)
            if x.ndim != 2 or not x.shape[1]:
                raise ArgumentError(f"block {number} of x", "have shape (b, d)", str(x.shape))
            yield held._replace(x=x)

    def blocks(self, size: int) -> Iterator[Block]:
        for number, block in enumerate(self._given()):
            if block.x.shape[1] != self.shape[1]:
                wants = f"have {self.shape[1]} columns, as those before it"
                raise ArgumentError(f"block {number} of x", wants, str(block.x.shape[1]))
            if not np.can_cast(block.x.dtype, self.dtype, "safe"):
                wants = f"be of {self.dtype}, as those before it"
                hint = "leave n_rows out, or give all blocks one dtype"
                raise ArgumentError(f"block {number} of x", wants, str(block.x.dtype), hint)
            for start in range(0, len(block.x), size):
                part = block.at(slice(start, start + size))
                yield part._replace(x=part.x.astype(self.dtype, copy=False))

    def fingerprint(self) -> bytes:
        return digest_of(self._given(), f"{self.dtype} {self.shape}")
