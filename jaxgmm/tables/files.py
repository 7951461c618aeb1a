"""Files of rows by the ends of their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from jaxgmm.tables import text
from jaxgmm.tables.base import DataError, NoRowsError, RowTable
from jaxgmm.tables.numpy_files import ArrayTable
from jaxgmm.tables.several import SeveralTables

SUFFIXES = (".npy", ".npz", *text.SUFFIXES, ".parquet")


def open_table(path: Path, array: str | None = None, asked: Collection[str] = (), beside: bool = False) -> RowTable:
    """The file at `path`, or all files of a folder, or those that match a pattern such as rows/*.parquet.

    Args:
        path: `.npy`, `.npz`, `.parquet`, or text: `.csv`, `.tsv`, `.txt`; files of a folder are read by name.
        array: which array of a `.npz`; may be left out where there is only one.
        asked: names of columns that will be asked for: with one of them in it the first line of text is a header.
        beside: whether it is a file of its own for what belongs to the rows, of which `array` is not.

    Raises:
        DataError: no file of rows.
        OSError: it cannot be read.
        ModuleNotFoundError: Parquet needs pyarrow.
    """
    if not beside and (paths := found(path)) != [path]:
        return tables_of(paths, array, asked)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: the name of a data file must end in {', '.join(SUFFIXES)}")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is not a plain file")  # it may be read twice, which a pipe cannot be
    if array is not None and suffix != ".npz":
        raise DataError(f"{path}: --array names an array in a .npz file")
    if suffix in text.SUFFIXES:
        return text.TextTable(path, asked)
    if suffix == ".parquet":
        from jaxgmm.tables.parquet import ParquetTable

        return ParquetTable(path)
    return ArrayTable(path, array, beside)


def is_file(value: str) -> bool:
    """Whether an option that names a column or a file names a file: by the end of its name, whatever there is."""
    return Path(value).suffix.lower() in SUFFIXES


def found(path: Path) -> list[Path]:
    """The files that a path means: those of a folder, those that match a pattern, or just the one of that name.

    Raises:
        DataError: there are none.
    """
    text = os.fspath(path)
    if path.is_dir():
        held = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        # What systems and notebooks keep beside the rows, or have not finished writing.
        held = [file for file in held if not any(part[0] in "._" for part in file.relative_to(path).parts)]
        if not held:
            raise DataError(f"{path}: holds no file whose name ends in {', '.join(SUFFIXES)}")
        if len(kinds := sorted({file.suffix.lower() for file in held})) > 1:
            raise DataError(f"{path}: holds files of several kinds ({', '.join(kinds)}); say which by a pattern")
        return held
    if path.exists() or not glob.has_magic(text):
        return [path]
    matching = [file for file in sorted(map(Path, glob.glob(text, recursive=True))) if file.is_file()]
    if not matching:
        raise DataError(f"{path}: no file matches")
    return matching


def tables_of(paths: Sequence[Path], array: str | None, asked: Collection[str]) -> RowTable:
    """The tables at these paths, one after another."""
    tables: list[RowTable] = []
    for number, path in enumerate(paths):
        try:
            tables.append(open_table(path, array if path.suffix.lower() == ".npz" else None, asked))
        except NoRowsError:
            if not tables and number == len(paths) - 1:
                raise
    return tables[0] if len(tables) == 1 else SeveralTables(paths[0].parent, tables)
