"""Where rows come from: what users have, on the host, a block at a time."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.rows.labels import whole

_BLOCK = 1 << 16
#: blocks of one kind: `x`, and what lies beside it, row by row; `at` chooses some, and they are made of their parts
Held = TypeVar("Held", bound=Any)


class Block(NamedTuple):
    """Some rows as users have them.

    Attributes:
        x: (b, d), NumPy, real numbers.
        weight: (b,), how often each row counts; None where each counts once. In all blocks of a source or in none.
        label: (b,), integers, which label each row has, −1 where unknown; None where there are none, as with weights.
    """

    x: Any
    weight: Any = None
    label: Any = None

    def at(self, index: Any) -> Block:
        """The rows that a mask, a slice, or numbers choose."""
        return Block(*(None if part is None else part[index] for part in self))


class RowSource(ABC):
    """Rows that can be read from the beginning as often as asked, a block at a time.

    To add one, subclass and write `blocks` and `fingerprint`, and give it `shape` and `dtype`, as attributes or
    properties. `jaxgmm.fit` takes it in place of an array. Single rows are read from blocks, too, where a source has
    no better way to them (`rows_at`).

    Attributes:
        shape: (n, d), whatever the rows weigh.
        dtype: of the rows; float64 rows compute in float64, all others in float32.

    Example:
        Rows that a function makes of their numbers, ten million of them::

            class Made(RowSource):
                shape, dtype = (10_000_000, 2), np.dtype(np.float32)

                def blocks(self, size):
                    for start in range(0, self.shape[0], size):
                        yield Block(made(np.arange(start, min(start + size, self.shape[0]))))

                def fingerprint(self):
                    return b"made, version 1"
    """

    shape: tuple[int, int]
    dtype: np.dtype

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Block]:
        """All rows, at most `size` at a time, always the same in the same order."""

    @abstractmethod
    def fingerprint(self) -> bytes:
        """A short digest: with other rows, weights or labels it is another one, and a checkpoint is of another fit."""

    @cached_property
    def weights(self) -> Any:
        """(n,), how often each row counts; None where each counts once."""
        return self._gathered("weight")

    @cached_property
    def labels(self) -> Any:
        """(n,), the label of each row, −1 where unknown; None where there are none."""
        return self._gathered("label")

    def _gathered(self, name: str) -> Any:
        parts = []
        for block in self.blocks(_BLOCK):
            if getattr(block, name) is None:
                return None
            parts.append(np.asarray(getattr(block, name)))
        return np.concatenate(parts)

    def rows_at(self, index: Any) -> Any:
        """The rows with these numbers, (b,) and ascending: (b, d)."""
        parts, start = [], 0
        for block in self.blocks(_BLOCK):
            stop = start + len(block.x)
            first, last = np.searchsorted(index, (start, stop))
            parts.append(block.x[index[first:last] - start])
            if last == len(index):
                break
            start = stop
        return np.concatenate(parts)

    def present(self) -> Any:
        """(n,), which rows have weight; None for all of them."""
        with_weight = None if self.weights is None else np.asarray(self.weights) > 0
        return None if with_weight is None or with_weight.all() else with_weight


class ArraySource(RowSource):
    """An array or memory map (n, d), with weights (n,) and labels (n,) beside it, if any: NumPy, checked."""

    def __init__(self, x: Any, weights: Any = None, labels: Any = None) -> None:
        self.x, self.weights, self.labels = x, weights, labels
        self.shape, self.dtype = x.shape, x.dtype

    def blocks(self, size: int) -> Iterator[Block]:
        whole = Block(self.x, self.weights, self.labels)
        for start in range(0, len(self.x), size):
            yield whole.at(slice(start, start + size))

    def fingerprint(self) -> bytes:
        return digest_of(self.blocks(_BLOCK), f"{self.dtype} {self.shape}")

    def rows_at(self, index: Any) -> Any:
        return self.x[index]


class Chosen(RowSource):
    """Some rows of a source, in its order: those for which the mask `chosen`, (n,), holds."""

    def __init__(self, source: RowSource, chosen: Any) -> None:
        self.source, self.chosen = source, chosen
        self.shape, self.dtype = (int(np.count_nonzero(chosen)), source.shape[1]), source.dtype

    def blocks(self, size: int) -> Iterator[Block]:
        """As long as `size` but for the last: sums are then rounded as over an array of these rows alone."""
        return in_full_blocks(self._chosen_blocks(size), size)

    def _chosen_blocks(self, size: int) -> Iterator[Block]:
        start = 0
        for block in self.source.blocks(size):
            stop = start + len(block.x)
            yield block.at(self.chosen[start:stop])
            start = stop

    def fingerprint(self) -> bytes:
        return hashlib.blake2b(self.source.fingerprint() + np.packbits(self.chosen).tobytes(), digest_size=12).digest()

    def _gathered(self, name: str) -> Any:
        held = getattr(self.source, f"{name}s")
        return None if held is None else held[self.chosen]

    def rows_at(self, index: Any) -> Any:
        return self.source.rows_at(np.flatnonzero(self.chosen)[index])


def in_full_blocks(blocks: Iterable[Held], size: int) -> Iterator[Held]:
    """The same rows in blocks of just `size`, but for the last."""
    waiting: list[Held] = []
    n = 0
    for block in blocks:
        waiting.append(block)
        n += len(block.x)
        while n >= size:
            held = _joined(waiting)
            yield held.at(slice(size))
            n -= size
            waiting = [held.at(slice(size, None))] if n else []
    if n:
        yield _joined(waiting)


def _joined(blocks: list[Held]) -> Held:
    if len(blocks) == 1:
        return blocks[0]
    parts: Any = zip(*blocks, strict=True)
    return type(blocks[0])(*(None if held[0] is None else np.concatenate(held) for held in parts))


def digest_of(blocks: Iterable[Block], said: str) -> bytes:
    """A short digest of what blocks hold, and of what is `said` of them."""
    digest = hashlib.blake2b(said.encode(), digest_size=12)
    for block in blocks:
        for part in block:
            digest.update(b"" if part is None else f"{np.asarray(part).dtype}".encode() + np.asarray(part).tobytes())
    return digest.digest()


def checked_rows(x: Any, sample_weight: Any, labels: Any, look: Callable[..., None]) -> RowSource:
    """`x`, a source or whatever holds numbers, as a source whose rows, weights and labels have been looked at.

    Args:
        look: complains of rows, called with the argument's name, some of them, and the number of the first.

    Raises:
        ValueError, TypeError: naming the argument, what it got and what it wants; of rows the first at fault.
    """
    if not isinstance(x, RowSource):
        x = arguments.rows("x", x)
        weights = arguments.weights("sample_weight", sample_weight, len(x))
        for start in range(0, len(x), _BLOCK):
            look("x", x[start : start + _BLOCK], start)
        return ArraySource(x, weights, None if labels is None else whole("labels", labels, (len(x),), "row"))
    for name, value in (("sample_weight", sample_weight), ("labels", labels)):
        if value is not None:
            wants = "be left out where x is a RowSource, whose blocks hold it beside their rows"
            raise ArgumentError(name, wants, None, "of files, jaxgmm.sources.files says which column it is")
    if not hasattr(x, "shape") or not isinstance(getattr(x, "dtype", None), np.dtype):
        got = f"{getattr(x, 'shape', None)} and {getattr(x, 'dtype', None)!r}"
        raise ArgumentError("x", "have a shape (n, d) and a dtype (np.dtype), as every RowSource", got)
    n, start = x.shape[0], 0
    beside = []  # which blocks hold what beside their rows
    for block in x.blocks(_BLOCK):
        if not isinstance(block, Block):
            raise ArgumentTypeError("x", "give its rows in blocks, jaxgmm.rows.Block(x, ...)", type(block).__name__)
        arguments.rows("x", block.x, first_row=start)
        if np.shape(block.x)[1] != x.shape[1] or block.x.dtype != x.dtype:
            wanted, got = f"{x.shape[1]} columns of {x.dtype}", f"{np.shape(block.x)[1]} of {block.x.dtype}"
            wants = f"give blocks with {wanted}, as its shape and dtype say"
            raise ArgumentError("x", wants, f"{got} at row {start}")
        look("x", block.x, start)
        start += len(block.x)
        beside.append((block.weight is not None, block.label is not None))
    for name, held in zip(("weight", "label"), zip(*beside, strict=True), strict=False):
        if 0 < (lacking := held.count(False)) < len(held):
            wants = f"give a {name} in all of its blocks or in none"
            raise ArgumentError("x", wants, f"none in {lacking} of {len(held)}")
    if start != n:
        raise ArgumentError("x", f"give the {n} rows that its shape tells of", str(start))
    arguments.weights("sample_weight", x.weights, n)
    if x.labels is not None:
        whole("labels", x.labels, (n,), "row")
    return x
