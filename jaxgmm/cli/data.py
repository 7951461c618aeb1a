"""Rows from files: `.npy`, `.npz`, or text with commas, semicolons or tabs between the fields."""

from __future__ import annotations

import csv
import itertools
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from jaxgmm import validation

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (".npy", ".npz", *TEXT_SUFFIXES)


class DataError(ValueError):
    """A file that does not hold rows; the message begins with its path."""


def read(path: Path, array: str | None = None, n_features: int | None = None) -> Any:
    """The rows in a file, (n, d), finite.

    Args:
        path: `.npy` (memory-mapped, never unpickled), `.npz`, or text: `.csv`, `.tsv`, `.txt`. Text is read as
            float64; its first line may be a header.
        array: which array of a `.npz`; may be left out where there is only one.
        n_features: how many columns there must be, if that is known.

    Raises:
        DataError: not rows of numbers: names the file, and for text the line and the field, both counted from 1.
        ValueError, TypeError: an array that is not two-dimensional, finite and real.
        OSError: the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: the name of a data file must end in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise DataError(f"{path}: is a folder")
    if array is not None and suffix != ".npz":
        raise DataError(f"{path}: --array names an array in a .npz file")
    rows = _read_text(path) if suffix in TEXT_SUFFIXES else _read_numpy(path, array)
    return validation.rows(str(path), rows, n_features)


# ---- NumPy's files ------------------------------------------------------------------------------------------


def _read_numpy(path: Path, array: str | None) -> Any:
    try:
        # A .npz cannot be mapped; np.load then ignores the mode.
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return loaded
        with loaded:
            return loaded[_chosen(path, list(loaded.keys()), array)]
    except DataError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = str(error)
        if "pickle" in reason or "Python objects" in reason:
            reason = "holds Python objects, or is not NumPy's format; such files are never unpickled"
        raise DataError(f"{path}: cannot be read as {path.suffix}: {reason}") from None


def _chosen(path: Path, names: list[str], wanted: str | None) -> str:
    held = ", ".join(names) or "none"
    if wanted is not None and wanted not in names:
        raise DataError(f"{path}: has no array {wanted!r}; it holds {held}")
    if wanted is None and len(names) != 1:
        raise DataError(f"{path}: choose one of its arrays with --array; it holds {held}")
    return names[0] if wanted is None else wanted


# ---- text ---------------------------------------------------------------------------------------------------


def _read_text(path: Path) -> Any:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            delimiter, skip = _layout(path, file)
        with open(path, encoding="utf-8-sig", newline="") as file:
            for _ in range(skip):
                file.readline()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of an empty file, which is refused below
                try:
                    rows = np.loadtxt(file, np.float64, delimiter=delimiter, quotechar='"', comments=None, ndmin=2)
                except UnicodeDecodeError:
                    raise
                except ValueError as error:
                    # NumPy's reader is fast but says little; the slow one finds where.
                    rows = None
                    reason = str(error)
        if rows is not None and rows.size == 0:
            raise DataError(f"{path}: holds no rows")
        if rows is None or not np.isfinite(rows).all():
            _find_fault(path, delimiter, skip)
        if rows is None:
            raise DataError(f"{path}: {reason}")
        return rows
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8 ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise DataError(f"{path}: {error}") from None


def _layout(path: Path, file: TextIO) -> tuple[str, int]:
    """The delimiter, and how many lines come before the first row of numbers."""
    blank = 0
    line = ""
    for line in file:
        if line.strip():
            break
        blank += 1
    else:
        raise DataError(f"{path}: holds no rows")
    unquoted = "".join(line.split('"')[::2])
    delimiter = next((mark for mark in "\t;," if mark in unquoted), ",")
    reader = csv.reader(itertools.chain([line], file), delimiter=delimiter)
    # A header has no number in it: a line with some is a row with a fault, and should be reported as one.
    if any(_number(field) is not None for field in next(reader)):
        return delimiter, blank
    return delimiter, blank + reader.line_num


def _find_fault(path: Path, delimiter: str, skip: int) -> None:
    """Raises DataError for the first field that is not a finite number, or the first row of another length."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = itertools.islice(file, skip, None)
        reader = csv.reader(lines, delimiter=delimiter)
        width = None
        for fields in reader:
            if not fields:
                continue
            line = skip + reader.line_num
            width = len(fields) if width is None else width
            for number, field in enumerate(fields[:width], start=1):
                value = _number(field)
                if value is None or not math.isfinite(value):
                    fault = "is not a number" if value is None else "is not finite"
                    got = repr(field) if field.strip() else "an empty field"
                    raise DataError(f"{path}:{line}:{number}: {got} {fault}")
            if len(fields) != width:
                where = min(len(fields), width) + 1
                raise DataError(f"{path}:{line}:{where}: {len(fields)} fields, where earlier rows have {width}")


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None
