"""Many files as one table, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgmm.tables.base import ChosenColumns, DataError, RowTable, TableBlock


class SeveralTables(RowTable):
    """The rows of tables, one after another. Columns with names may be in other orders in each, and others beside them.

    Columns are those of the first table; what is asked for must be in all of them.

    Args:
        path: what is said of all of them: a folder, or a pattern.

    Raises:
        DataError: columns without names, and not as many of them everywhere.
    """

    def __init__(self, path: Path, tables: Sequence[RowTable]) -> None:
        self.path, self.tables = path, tables
        first = tables[0]
        self.names, self.width = first.names, first.width
        for table in tables[1:]:
            if (table.names is None) != (self.names is None):
                raise DataError(f"{table.path}: has {_named(table)}, where {first.path} has {_named(first)}")
            if self.names is None and table.width != self.width:
                raise DataError(f"{table.path}: has {table.width} columns, where {first.path} has {self.width}")

    def _own(self, table: RowTable, chosen: ChosenColumns) -> ChosenColumns:
        """`chosen`, by the numbers that a table has for them."""
        if self.names is None or table.names is None or list(table.names) == list(self.names):
            return chosen
        place = {name: i for i, name in enumerate(table.names)}

        def number(i: int) -> int:
            name = self.names[i]  # type: ignore[index]
            if list(table.names or ()).count(name) != 1:
                raise DataError(f"{table.path}: has no column {name!r}; {self.tables[0].path} has")
            return place[name]

        weights, labels = (None if i is None else number(i) for i in (chosen.weights, chosen.labels))
        return ChosenColumns([number(i) for i in chosen.features], weights, labels)

    def files(self, chosen: ChosenColumns) -> list[tuple[Path, int]]:
        return [part for table in self.tables for part in table.files(self._own(table, chosen))]

    def n_rows(self, chosen: ChosenColumns) -> int:
        return sum(table.n_rows(self._own(table, chosen)) for table in self.tables)

    def dtype(self, features: Sequence[int]) -> np.dtype:
        own = (table.dtype(self._own(table, ChosenColumns(features)).features) for table in self.tables)
        return np.result_type(*own)

    def rows_at(self, chosen: ChosenColumns, index: Any) -> Any:
        dtype, parts, start = self.dtype(chosen.features), [], 0
        for table in self.tables:
            own = self._own(table, chosen)
            stop = start + table.n_rows(own)
            first, last = np.searchsorted(index, (start, stop))
            if first < last:
                parts.append(table.rows_at(own, index[first:last] - start).astype(dtype, copy=False))
            start = stop
        return np.concatenate(parts) if parts else np.empty((0, len(chosen.features)), dtype)

    def blocks(self, chosen: ChosenColumns, size: int) -> Iterator[TableBlock]:
        dtype = self.dtype(chosen.features) if chosen.features else np.dtype(np.float64)
        for table in self.tables:
            for block in table.blocks(self._own(table, chosen), size):
                yield TableBlock(block.x.astype(dtype, copy=False), block.weights, block.labels)


def _named(table: RowTable) -> str:
    return "columns without names" if table.names is None else "columns with names"
