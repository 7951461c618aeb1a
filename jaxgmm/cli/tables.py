"""Tables out, block by block: CSV, Parquet and NumPy's files, which appear whole or not at all; or CSV to stdout."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxgmm.mixture.whole_files import whole_file
from jaxgmm.tables.spool import Spool

SUFFIXES = (".csv", ".parquet", ".npy", ".npz")

# A field as a string takes ten times its number's room.
_LINES = 1 << 12


@dataclass(frozen=True)
class Part:
    """Columns that belong together.

    Attributes:
        name: what their array is called in a `.npz`.
        columns: what they are called in CSV and Parquet.
        dtype: what they are held in, elsewhere than in CSV; by default as the first of them come.
    """

    name: str
    columns: Sequence[str]
    dtype: Any = None


class _Writer(ABC):
    @abstractmethod
    def write(self, arrays: Sequence[Any]) -> None:
        """Adds rows."""

    @abstractmethod
    def close(self) -> None:
        """Completes the file."""

    def abandon(self) -> None:
        """Leaves it incomplete, as it will be removed."""
        return


@contextlib.contextmanager
def writing(path: Path | None, parts: Sequence[Part], alone: str) -> Iterator[Callable[..., None]]:
    """Yields a function that adds rows: it takes an array (b,) or (b, c) for each part.

    Args:
        path: `.csv`, `.parquet`, `.npz` (an array for each part), `.npy` (one of the parts); None for CSV on stdout.
        parts: what columns there will be.
        alone: the part that a `.npy` holds.
    """
    parts = _distinct(parts)
    if path is None:
        to_stdout = _Csv(sys.stdout.write, parts)
        yield lambda *arrays: to_stdout.write(arrays)
        to_stdout.close()
        return
    with whole_file(path) as file:
        writer: _Writer
        match path.suffix.lower():
            case ".npy":
                writer = _Npy(file, parts, alone)
            case ".npz":
                writer = _Npz(file, parts)
            case ".parquet":
                writer = _Parquet(file, parts)
            case _:
                writer = _Csv(lambda text: file.write(text.encode()), parts)
        try:
            yield lambda *arrays: writer.write(arrays)
        except BaseException:
            writer.abandon()
            raise
        writer.close()


def _distinct(parts: Sequence[Part]) -> list[Part]:
    """The same parts, no two columns of which have the same name: a later one ends in an underscore more."""
    seen: set[str] = set()
    found = []
    for part in parts:
        names = []
        for name in part.columns:
            while name in seen:
                name += "_"
            seen.add(name)
            names.append(name)
        found.append(Part(part.name, names, part.dtype))
    return found


class _Csv(_Writer):
    def __init__(self, write: Callable[[str], Any], parts: Sequence[Part]) -> None:
        self.out = write
        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow([name for part in parts for name in part.columns])
        self.header = header.getvalue()

    def write(self, arrays: Sequence[Any]) -> None:
        self.close()
        for start in range(0, len(arrays[0]), _LINES):
            some = [array[start : start + _LINES] for array in arrays]
            columns = [column for array in some for column in (array.T if array.ndim == 2 else [array])]
            self.out("".join(f"{','.join(row)}\n" for row in zip(*map(_texts, columns), strict=True)))

    def close(self) -> None:
        """Writes the header, once: it waits for the first row."""
        self.out(self.header)
        self.header = ""


def _texts(column: Any) -> list[str]:
    """Numbers as text, with as many digits as it takes to read back the same."""
    if column.dtype.kind in "biu":
        return list(map(str, (column + 0 if column.dtype.kind == "b" else column).tolist()))
    if column.dtype == np.float64:
        return [text.removesuffix(".0") for text in map(repr, column.tolist())]
    return [f"{number:.9g}" for number in column.tolist()]


class _Npz(_Writer):
    def __init__(self, file: BinaryIO, parts: Sequence[Part]) -> None:
        self.file = file
        self.spools = {part.name: Spool(part.dtype) for part in parts}

    def write(self, arrays: Sequence[Any]) -> None:
        for array, spool in zip(arrays, self.spools.values(), strict=True):
            spool.append(array)

    def close(self) -> None:
        np.savez(self.file, **{name: spool.array() for name, spool in self.spools.items()})


class _Npy(_Npz):
    def __init__(self, file: BinaryIO, parts: Sequence[Part], alone: str) -> None:
        super().__init__(file, [part for part in parts if part.name == alone])
        self.which = [part.name for part in parts].index(alone)

    def write(self, arrays: Sequence[Any]) -> None:
        super().write([arrays[self.which]])

    def close(self) -> None:
        (spool,) = self.spools.values()
        np.save(self.file, spool.array(), allow_pickle=False)


class _Parquet(_Writer):
    def __init__(self, file: BinaryIO, parts: Sequence[Part]) -> None:
        self.file, self.parts = file, parts
        self.writer: Any = None

    def write(self, arrays: Sequence[Any]) -> None:
        import pyarrow
        from pyarrow import parquet

        columns = [column for array in arrays for column in (array.T if array.ndim == 2 else [array])]
        if self.writer is None:
            dtypes = [part.dtype or a.dtype for part, a in zip(self.parts, arrays, strict=True) for _ in part.columns]
            names = [name for part in self.parts for name in part.columns]
            self.schema = pyarrow.schema(list(zip(names, map(pyarrow.from_numpy_dtype, dtypes), strict=True)))
            self.writer = parquet.ParquetWriter(self.file, self.schema)
        held = [pyarrow.array(np.ascontiguousarray(c)).cast(t) for c, t in zip(columns, self.schema.types, strict=True)]
        self.writer.write_batch(pyarrow.RecordBatch.from_arrays(held, schema=self.schema))

    def close(self) -> None:
        self.writer.close()

    def abandon(self) -> None:
        if self.writer is not None:
            self.writer.close()  # now, while its file is open; else it tries when it is collected
