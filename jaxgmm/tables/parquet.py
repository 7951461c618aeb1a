"""Parquet files, read a batch of rows at a time whatever their row groups. Needs the extra `parquet`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet, types

from jaxgmm.tables.base import LABEL, ChosenColumns, DataError, NoRowsError, Role, RowTable, TableBlock

# What a column chunk is read through, so that a row group never is in memory as a whole.
_BUFFER = 1 << 20
_LOOKED_AT = 1 << 16


class ParquetTable(RowTable):
    """The rows of a Parquet file. Columns of integers, floats, decimals and booleans are numbers; nulls are refused.

    Raises:
        DataError: no Parquet file, or a damaged one.
    """

    names: Sequence[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            self.schema = file.schema_arrow
            self.names, self.width = self.schema.names, len(self.schema.names)
            n = file.metadata.num_rows
            self._groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        if not self.width or n < 1:
            said = f"{path}: must hold at least one row and one column, got shape ({n}, {self.width})"
            raise NoRowsError(said) if self.width else DataError(said)
        if len(set(self.names)) < self.width:
            twice = next(name for i, name in enumerate(self.names) if name in self.names[:i])
            raise DataError(f"{path}: holds two columns {twice!r}")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[parquet.ParquetFile]:
        open(self.path, "rb").close()  # whose complaint has the file's name
        try:
            with parquet.ParquetFile(
                pyarrow.OSFile(str(self.path)), pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True
            ) as file:
                yield file
        except DataError:
            raise
        except (pyarrow.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.path}: cannot be read as .parquet: {reason}") from None

    def n_rows(self, chosen: ChosenColumns) -> int:
        return sum(self._groups)

    def dtype(self, features: Sequence[int]) -> np.dtype:
        return np.result_type(*(self._dtype(i) for i in features)) if features else np.dtype(np.float64)

    def rows_at(self, chosen: ChosenColumns, index: Any) -> Any:
        """From the row groups that hold some of them."""
        features = ChosenColumns(chosen.features)
        parts = []
        with self._opened() as file:
            for group, stop in enumerate(np.cumsum(self._groups)):
                start = stop - self._groups[group]
                first, last = np.searchsorted(index, (start, stop))
                if first == last:
                    continue
                for block in self._read(file, features, _LOOKED_AT, start, [group]):
                    own = np.searchsorted(index, (start, start + len(block)))
                    parts.append(block.x[index[own[0] : own[1]] - start])
                    start += len(block)
        return np.concatenate(parts) if parts else np.empty((0, len(chosen.features)), self.dtype(chosen.features))

    def blocks(self, chosen: ChosenColumns, size: int) -> Iterator[TableBlock]:
        start = 0
        with self._opened() as file:
            for block in self._read(file, chosen, size):
                yield block
                start += len(block)
        pyarrow.default_memory_pool().release_unused()  # what comes after the reading may need it
        if not start:
            raise DataError(f"{self.path}: holds no rows")

    def _read(
        self,
        file: parquet.ParquetFile,
        chosen: ChosenColumns,
        size: int,
        start: int = 0,
        groups: list[int] | None = None,
    ) -> Iterator[TableBlock]:
        """The rows of some row groups, or of all, in blocks; the first has number `start`."""
        roles, dtype = chosen.roles(), self.dtype(chosen.features)
        names = [self.names[i] for i in sorted(roles)]
        for i in roles:
            self._dtype(i)
        for batch in file.iter_batches(size, columns=names, row_groups=groups):
            if not batch.num_rows:
                continue
            columns = {i: self._column(batch, i, role, start) for i, role in roles.items()}
            x = np.empty((batch.num_rows, len(chosen.features)), dtype)
            for j, i in enumerate(chosen.features):
                x[:, j] = columns[i]
            yield self.sound_block(chosen, x, columns.__getitem__, start)
            start += batch.num_rows

    def _column(self, batch: Any, i: int, role: Role, first_row: int) -> Any:
        """A column's numbers; a null is NaN in labels, and refused elsewhere."""
        column = batch.column(self.names[i])
        if column.null_count and role is not LABEL:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            self.refuse(role, "null", i, first_row + row)
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if types.is_decimal(column.type):
            column = column.cast(pyarrow.float64())
        values = column.to_numpy(zero_copy_only=False)
        return values.astype(np.float64) if values.dtype == object else values  # booleans, some of them null

    def _dtype(self, i: int) -> np.dtype:
        """What NumPy holds a column in.

        Raises:
            DataError: a column of something else than numbers.
        """
        kind = self.schema.field(i).type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_decimal(kind):
            return np.dtype(np.float64)
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise DataError(
                f"{self.path}: column {i} ({self.names[i]!r}) holds {kind}, not numbers; choose others with --columns"
            )
        return np.dtype(kind.to_pandas_dtype())
