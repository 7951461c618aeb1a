"""Files of rows by the ends of their names."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from jaxgmm.cli.data import text
from jaxgmm.cli.data.base import DataError, Table
from jaxgmm.cli.data.numpy_files import ArrayTable

SUFFIXES = (".npy", ".npz", *text.SUFFIXES, ".parquet")


def open_table(path: Path, array: str | None = None, asked: Collection[str] = (), beside: bool = False) -> Table:
    """The file at `path`.

    Args:
        path: `.npy`, `.npz`, `.parquet`, or text: `.csv`, `.tsv`, `.txt`.
        array: which array of a `.npz`; may be left out where there is only one.
        asked: names of columns that will be asked for: with one of them in it the first line of text is a header.
        beside: whether it is a file of its own for what belongs to the rows, of which `array` is not.

    Raises:
        DataError: no file of rows.
        OSError: it cannot be read.
        ModuleNotFoundError: Parquet needs pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: the name of a data file must end in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise DataError(f"{path}: is a folder")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is not a plain file")  # it may be read twice, which a pipe cannot be
    if array is not None and suffix != ".npz":
        raise DataError(f"{path}: --array names an array in a .npz file")
    if suffix in text.SUFFIXES:
        return text.TextTable(path, asked)
    if suffix == ".parquet":
        from jaxgmm.cli.data.parquet import ParquetTable

        return ParquetTable(path)
    return ArrayTable(path, array, beside)


def is_file(value: str) -> bool:
    """Whether an option that names a column or a file names a file: by the end of its name, whatever there is."""
    return Path(value).suffix.lower() in SUFFIXES
