"""Arrays that grow row by row: in memory while they are small, in a temporary file from then on."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

_IN_MEMORY = 1 << 26


@contextlib.contextmanager
def _room_for_rows() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = tempfile.gettempdir()
        raise OSError(
            error.errno, f"{error.strerror}; rows are kept here while they are read, but TMPDIR names another", where
        ) from None


def spooled(file: BinaryIO, size: int) -> BinaryIO | None:
    """A temporary copy of `file`, which holds `size` bytes; None if they may stay in memory."""
    if size <= _IN_MEMORY:
        return None
    with _room_for_rows():
        copy = tempfile.TemporaryFile(prefix="jaxgmm-")  # noqa: SIM115
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.seek(0)
        return copy


class Spool:
    """Collects blocks (b, …) into an array (n, …); the file is gone when the array is.

    Args:
        dtype: that of the array; by default that of the first block.
        in_memory: how many bytes may stay in memory.
    """

    def __init__(self, dtype: Any = None, in_memory: int | None = None) -> None:
        self.dtype = dtype
        self.in_memory = _IN_MEMORY if in_memory is None else in_memory
        self.held: list[Any] = []
        self.n = self.bytes = 0
        self.file: Any = None
        self.like: Any = None

    def append(self, block: Any) -> None:
        """Adds rows.

        Raises:
            OSError: the folder for temporary files is full.
        """
        block = np.ascontiguousarray(block, self.dtype)
        if self.like is None:
            self.like, self.dtype = block[:0], block.dtype
        self.n += len(block)
        self.bytes += block.nbytes
        self.held.append(block)
        if self.file is not None or self.bytes > self.in_memory:
            self._write()

    def _write(self) -> None:
        with _room_for_rows():
            if self.file is None:
                self.file = tempfile.TemporaryFile(prefix="jaxgmm-")  # noqa: SIM115
            for block in self.held:
                self.file.write(block.data)
            self.file.flush()
        self.held = []

    def array(self) -> Any:
        """All rows, (n, …); memory-mapped and read-only if they went to a file."""
        if self.file is None:
            return np.concatenate(self.held) if self.held else np.empty(0)
        return np.memmap(self.file, self.dtype, "r", shape=(self.n, *self.like.shape[1:]))
