"""The rows of one file or of many, one after another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.rows import Block, RowSource
from jaxgmm.tables import ChosenColumns, DataError, RowTable, tables_of

#: one file, a folder of them, a pattern such as "rows/*.parquet", or a list of any of these
Where = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_HASHED = 1 << 22


def files(
    where: Where, columns: Sequence[str | int] | None = None, *, weight: str | int | None = None,
    label: str | int | None = None, array: str | None = None,
) -> RowSource:  # fmt: skip
    """Rows of files, for `fit` and whatever else takes rows: `.parquet`, `.npy`, `.npz`, `.csv`, `.tsv`, `.txt`.

    Nothing is read before it is needed, and never all at once. Files are read in the order in which they are given,
    those of a folder or a pattern by name. All must hold the columns that are asked for; those with names may have them
    in any order.

    Args:
        where: one file, a folder of them, a pattern such as `rows/*.parquet`, or a list of any of these.
        columns: which columns are features, by name or by number from 0; by default all that are nothing else.
        weight: the column that says how often each row counts.
        label: the column that says which component each row belongs to; −1 or nothing where unknown.
        array: which array of `.npz` files.

    Raises:
        DataError: a file that does not hold such rows; the message begins with its path.
        OSError: there is no such file, or it cannot be read.

    Example:
        >>> rows = jaxgmm.sources.files("rows/", columns=["height", "weight"], weight="times")
        >>> jaxgmm.fit(0, rows, 12, n_init=32)
    """
    columns = columns if columns is None or isinstance(columns, str) else list(columns)
    asked = [name for name in (*(columns or ()), weight, label) if isinstance(name, str)]
    return FileSource(tables_of(_paths(where), array, asked), columns, weight, label)


def _paths(where: Where) -> list[Path]:
    if isinstance(where, str | os.PathLike):
        return [Path(where)]
    if not isinstance(where, list | tuple) or not all(isinstance(one, str | os.PathLike) for one in where):
        raise ArgumentTypeError("where", "be a path, or a list of paths", arguments.shown_with_type(where))
    if not where:
        raise ArgumentError("where", "name a file at least", "an empty list")
    return [Path(one) for one in where]


class FileSource(RowSource):
    """The rows of a table.

    Attributes:
        feature_names: what the features are called, or their numbers.

    Raises:
        DataError: a table without the columns that are asked for.
    """

    def __init__(
        self, table: RowTable, columns: Sequence[str | int] | None = None, weight: str | int | None = None,
        label: str | int | None = None,
    ) -> None:  # fmt: skip
        self.table = table
        beside = [None if name is None else _column(table, name) for name in (weight, label)]
        self.chosen = ChosenColumns(_features(table, columns, beside), *beside)
        self.feature_names = [str(i) if table.names is None else table.names[i] for i in self.chosen.features]
        self.dtype = table.dtype(self.chosen.features)
        self._files = table.files(self.chosen)
        self.shape = sum(n for _, n in self._files), len(self.chosen.features)
        self._seen = [_stamp(path) for path, _ in self._files]

    def blocks(self, size: int) -> Iterator[Block]:
        self._check()
        n = 0
        for block in self.table.blocks(self.chosen, size):
            n += len(block)
            yield Block(block.x, block.weights, block.labels)
        self._check()
        if n != self.shape[0]:
            raise DataError(f"{self.table.path}: holds {n} rows, where it held {self.shape[0]} when it was opened")

    def rows_at(self, index: Any) -> Any:
        self._check()
        return self.table.rows_at(self.chosen, index)

    def fingerprint(self) -> bytes:
        digest = hashlib.blake2b(f"{self.dtype} {self.shape} {self.chosen}".encode(), digest_size=12)
        for path, _ in self._files:
            with open(path, "rb") as file:
                while piece := file.read(_HASHED):
                    digest.update(piece)
        return digest.digest()

    def _check(self) -> None:
        """Complains of files that are other ones than they were when they were opened."""
        for (path, _), seen in zip(self._files, self._seen, strict=True):
            if _stamp(path) != seen:
                raise DataError(f"{path}: has changed since it was opened; every pass must read the same rows")


def _stamp(path: Path) -> tuple[int, int]:
    held = path.stat()
    return held.st_size, held.st_mtime_ns


def _features(table: RowTable, columns: Sequence[str | int] | None, beside: Sequence[int | None]) -> list[int]:
    """The columns that are features: those that are named, or all that are nothing else."""
    if columns is not None:
        columns = columns if isinstance(columns, str) else list(columns)
        if isinstance(columns, str) or not columns:
            raise ArgumentError("columns", "be a list of names or numbers", arguments.shown(columns))
        return [_column(table, name) for name in columns]
    rest = [i for i in range(table.width) if i not in beside]
    if not rest:
        raise DataError(f"{table.path}: has no column that is left as a feature")
    return rest


def _column(table: RowTable, name: str | int) -> int:
    """The number of one column of a table."""
    if isinstance(name, str):
        if table.names is not None and list(table.names).count(name) == 1:
            return list(table.names).index(name)
    elif isinstance(name, int | np.integer) and not isinstance(name, bool) and 0 <= name < table.width:
        return int(name)
    held = f"columns 0 to {table.width - 1}" if table.names is None else ", ".join(map(repr, list(table.names)[:8]))
    raise DataError(f"{table.path}: has no column {name!r}; it has {held}")
