"""Blocks of a source, one after another as passes ask for them: the next is read and laid out ahead of time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxgmm.inputs.errors import ArgumentError, Cancelled
from jaxgmm.rows import Block, RowSource
from jaxgmm.rows.source import in_full_blocks

#: what one block comes to on the device: arrays of the same shapes for all
Arrays = tuple[np.ndarray, ...]

_numbers = itertools.count()
_readers: dict[int, Reader] = {}


class Reader:
    """The blocks of a source as passes read them, all of `size` rows but for the last.

    Programs know a reader by its number: rows of the same shapes then share them. It lives until it is closed.

    Args:
        source: where rows come from. What it holds may not change while it is read.
        lay: from a block to arrays, of the same shapes whatever the block.
        rows: from ascending numbers (b,) to those rows, (d, b), and their weights, (b,).
        size: rows in a block.
        room: how many bytes of laid-out blocks may be kept, so that later passes need not read them.

    Attributes:
        number: what programs know it by.
        n_blocks: how many blocks there are.
        n_read: rows handed out so far, in all passes.
    """

    def __init__(
        self, source: RowSource, lay: Callable[[Block], Arrays], rows: Callable[[Any], Arrays], size: int,
        room: int = 0,
    ) -> None:  # fmt: skip
        self.source, self.lay, self.rows, self.size, self.room = source, lay, rows, size, room
        self.number, self.n_blocks = next(_numbers), -(-source.shape[0] // size)
        self.n_read = 0
        self.error: BaseException | None = None
        self._kept: dict[int, Arrays] = {}
        self._taken = 0
        self._tape: Iterator[Block] = iter(())
        self._position = 0
        self._given: tuple[int, Arrays] = (-1, ())
        self._last = self.n_blocks - 1
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._ahead: tuple[int, Future[Arrays]] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="jaxgmm-reader")
        _readers[self.number] = self

    # ---- what programs ask --------------------------------------------------------------------------------------

    def block(self, i: int) -> Arrays:
        """Block i as it is laid out; the one after it is begun."""
        with self._lock:
            self._check()
            if i == self._given[0] and i == self._last:
                return self._given[1]  # programs that ask once a restart ask for the same block several times
            self._in_order(i)
            if i in self._kept:
                found = self._kept[i]
            else:
                ahead, self._ahead = self._ahead, None
                own = ahead is not None and ahead[0] == i
                found = ahead[1].result() if ahead is not None and own else self._worker.submit(self._made, i).result()
            self.n_read += min(self.size, self.source.shape[0] - i * self.size)
            self._given = i, found
            following = (i + 1) % self.n_blocks
            if following not in self._kept and self._ahead is None:
                self._ahead = following, self._worker.submit(self._made, following)
            return found

    def rows_at(self, index: Any) -> Arrays:
        """The rows with these numbers, (b,) in any order: (d, b), and their weights, (b,)."""
        self._check()
        wanted, place = np.unique(np.asarray(index), return_inverse=True)
        x, weights = self.rows(wanted)
        return x[:, place.reshape(-1)], weights[place.reshape(-1)]

    # ---- what the host asks -------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ends the pass that is under way, if any, with `Cancelled`; until `allow`."""
        self._cancelled.set()

    def allow(self) -> None:
        """Lets passes read again."""
        self._cancelled.clear()

    def close(self) -> None:
        """Lets go of everything."""
        _readers.pop(self.number, None)
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._kept.clear()

    def begin(self) -> None:
        """Forgets what went wrong before, and where."""
        self.error, self._last, self._given = None, self.n_blocks - 1, (-1, ())

    # ---- one block ----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    def _in_order(self, i: int) -> None:
        """Complains of a pass that would sum up anything but every block in turn."""
        beyond = self._last == self.n_blocks - 1
        if i != self._last + 1 and not (i == 0 and beyond):
            raise RuntimeError(f"block {i} was asked for after block {self._last}: passes must read blocks in turn")
        self._last = i

    def _made(self, i: int) -> Arrays:
        """Block i, read and laid out, in the one thread that reads."""
        block = self._read(i)
        arrays = self.lay(block)
        size = sum(array.nbytes for array in arrays)
        if self._taken + size <= self.room:
            self._kept[i] = arrays
            self._taken += size
        return arrays

    def _read(self, i: int) -> Block:
        if i != self._position or i == 0:
            # From the beginning: a pass begins, or a pass before was given up.
            self._tape, self._position = in_full_blocks(self.source.blocks(self.size), self.size), 0
        for number in range(self._position, i + 1):
            block = next(self._tape, None)
            self._position = number + 1
            if block is None:
                self._lacking(number)
        assert block is not None
        wanted = min(self.size, self.source.shape[0] - i * self.size)
        if len(block.x) != wanted:
            self._lacking(i, len(block.x))
        if i == self.n_blocks - 1:
            if next(self._tape, None) is not None:
                raise ArgumentError("x", f"give the {self.source.shape[0]} rows that its shape tells of", "more")
            self._position = -1
        return block

    def _lacking(self, i: int, held: int = 0) -> None:
        n = self.source.shape[0]
        wants, got = f"give its {n} rows in every pass", f"{i * self.size + held} in this one"
        raise ArgumentError("x", wants, got, "has it changed, or can it be read only once?")


def numbered(number: Any) -> Reader:
    """The reader of this number.

    Raises:
        KeyError: it has been closed.
    """
    return _readers[int(number)]


# ---- from within programs ---------------------------------------------------------------------------------------


def fetched(number: Any, i: Any, like: Arrays) -> Arrays:
    """Block i of reader `number` for a callback from a program, and whether there is one; see `_attempted`."""
    return _attempted(int(number), lambda reader: reader.block(int(i)), like)


def fetched_rows(number: Any, index: Any, like: Arrays) -> Arrays:
    """Rows of reader `number`, (d, b), and their weights, for a callback from a program; and whether there are any."""
    return _attempted(int(number), lambda reader: reader.rows_at(index), like)


def _attempted(number: int, call: Callable[[Reader], Arrays], like: Arrays) -> Arrays:
    """What `call` gives, and 1; where it fails zeros in the shapes of `like`, and 0.

    No exception goes through a program, of which devices make what they like: the reader keeps it for the host.
    """
    reader = numbered(number)
    try:
        if reader.error is not None:  # whatever failed fails the rest of the program
            raise reader.error
        found, good = call(reader), 1
    except BaseException as error:
        reader.error = error
        found, good = tuple(np.zeros(shape.shape, shape.dtype) for shape in like), 0
    return *map(as_bits, found), np.asarray(good, np.int32)


def as_bits(array: np.ndarray) -> np.ndarray:
    """float64 as two words each, (..., 2): JAX would cut numbers short in a thread that knows nothing of x64."""
    if array.dtype != np.float64:
        return array
    return np.ascontiguousarray(array).view(np.uint32).reshape(*array.shape, 2)
