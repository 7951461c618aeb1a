"""Rows from files: `.npy`, `.npz`, or text with commas, semicolons or tabs between the fields."""

from __future__ import annotations

import csv
import itertools
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.lib import format as npy

from jaxgmm import validation

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (".npy", ".npz", *TEXT_SUFFIXES)

# What NumPy's and zip's readers raise for bytes that are not theirs.
_FOREIGN = (
    ValueError, TypeError, EOFError, KeyError, OverflowError, RuntimeError, SyntaxError, tokenize.TokenError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Deflate makes nothing more than about a thousand times smaller.
_DEFLATED_MOST = 1100


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
        DataError: not rows of finite numbers: names the file, and for text the line and the field, both counted from 1.
        OSError: the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: the name of a data file must end in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise DataError(f"{path}: is a folder")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is not a plain file")  # it is read twice, which a pipe cannot be
    if array is not None and suffix != ".npz":
        raise DataError(f"{path}: --array names an array in a .npz file")
    rows = _read_text(path) if suffix in TEXT_SUFFIXES else _read_numpy(path, array)
    if rows.ndim != 2:
        raise DataError(f"{path}: must hold rows of shape (n, d), got an array of shape {rows.shape}")
    try:
        return validation.rows("x", rows, n_features)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {str(error).removeprefix('x ')}") from None


# ---- NumPy's files ------------------------------------------------------------------------------------------


def _read_numpy(path: Path, array: str | None) -> Any:
    try:
        if path.suffix.lower() == ".npz":
            return _read_archive(path, array)
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd headers, which the shape then tells of
            shape, dtype = _npy_header(file)
            if 0 in shape:
                raise DataError(f"{path}: must hold at least one row and one column, got shape {shape}")
            _check_promise(dtype, shape, path.stat().st_size - file.tell())
            return npy.open_memmap(path, mode="r")
    except DataError as error:
        raise error if str(error).startswith(f"{path}: ") else DataError(f"{path}: {error}") from None
    except (OSError, *_FOREIGN) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the file's own; others are of a place inside it that does not exist
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as {path.suffix}: {reason}") from None


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype that a .npy file promises; leaves `file` where its numbers begin."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # later ones are for the names of fields
        raise DataError(f"is a .npy file of version {version}, which is not for plain arrays of numbers")
    shape, _, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    if dtype.hasobject:
        raise DataError("holds Python objects, which are never unpickled")
    if dtype.kind not in "biuf":
        raise DataError(f"must hold real numbers, got dtype {dtype}")
    return shape, dtype


def _check_promise(dtype: np.dtype, shape: tuple[int, ...], held: int) -> None:
    """Refuses a header that promises more than there is, before anything of that size is allocated."""
    promised = dtype.itemsize * math.prod(shape)
    if promised > held:
        raise DataError(f"is truncated: shape {shape} of {dtype} takes {promised} bytes, there are {held}")


def _read_archive(path: Path, array: str | None) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        member = members[_chosen(path, list(members), array)]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError("is compressed in a way that NumPy does not write")
        # Sizes in the archive's own lists are promises too; the file's size is not.
        held = min(member.file_size, _DEFLATED_MOST * min(member.compress_size, path.stat().st_size))
        with archive.open(member) as file:
            shape, dtype = _npy_header(file)  # type: ignore[arg-type]
            _check_promise(dtype, shape, held - file.tell())
        with archive.open(member) as file:
            return npy.read_array(file, allow_pickle=False)


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
        # Python reads more than NumPy does: 1_000, and digits of other scripts
        return float(field) if field.isascii() and "_" not in field else None
    except ValueError:
        return None
