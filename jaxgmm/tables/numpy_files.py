"""NumPy's own files: `.npy`, memory-mapped, and `.npz`. Nothing in them is ever unpickled."""

from __future__ import annotations

import errno
import math
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib import format as npy

from jaxgmm.inputs import arrays
from jaxgmm.tables.base import ChosenColumns, DataError, RowTable, TableBlock
from jaxgmm.tables.spool import spooled

# What NumPy's and zip's readers raise for bytes that are not theirs.
_FOREIGN = (
    ValueError, TypeError, EOFError, KeyError, OverflowError, RuntimeError, SyntaxError, tokenize.TokenError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Deflate makes nothing more than about a thousand times smaller.
_DEFLATED_MOST = 1100
_LOOKED_AT = 1 << 16


class ArrayTable(RowTable):
    """The rows of an array (n, d), or (n,) for one column.

    Args:
        path: `.npy` or `.npz`.
        array: which array of a `.npz`; may be left out where there is only one.
        beside: whether nobody can say which, so that there must be one.

    Raises:
        DataError: not an array of rows.
    """

    def __init__(self, path: Path, array: str | None = None, beside: bool = False) -> None:
        self.path = path
        rows = _read(path, array, beside)
        if rows.ndim == 1:
            rows = rows[:, None]
        if rows.ndim != 2:
            raise DataError(f"{path}: must hold rows of shape (n, d) or (n,), got an array of shape {rows.shape}")
        if 0 in rows.shape:
            raise DataError(f"{path}: must hold at least one row and one column, got shape {rows.shape}")
        self.rows, self.width = rows, rows.shape[1]

    def n_rows(self, chosen: ChosenColumns) -> int:
        return len(self.rows)

    def dtype(self, features: Sequence[int]) -> np.dtype:
        return arrays.to_numpy("x", self.rows[:1]).dtype

    def rows_at(self, chosen: ChosenColumns, index: Any) -> Any:
        return arrays.to_numpy("x", self._features(self.rows[index], chosen))

    def blocks(self, chosen: ChosenColumns, size: int) -> Iterator[TableBlock]:
        for start in range(0, len(self.rows), size):
            block = arrays.to_numpy("x", self.rows[start : start + size])
            yield self.sound_block(chosen, self._features(block, chosen), partial(_column, block), start)

    def whole(self, chosen: ChosenColumns) -> TableBlock | None:
        if chosen.weights is not None or chosen.labels is not None or isinstance(self.rows, _Unmapped):
            return None
        x = self._features(self.rows, chosen)
        if not np.may_share_memory(x, self.rows) or not x.dtype.isnative or x.dtype.itemsize > 8:
            return None
        for _ in self.blocks(chosen, _LOOKED_AT):  # which refuses what is not sound
            pass
        return TableBlock(x)

    def _features(self, rows: Any, chosen: ChosenColumns) -> Any:
        """The columns chosen: a view, if they lie side by side."""
        features = list(chosen.features)
        if features and features == list(range(features[0], features[-1] + 1)):
            return rows if len(features) == self.width else rows[:, features[0] : features[-1] + 1]
        return rows[:, features]


class _Unmapped:
    """The rows of a .npy file for which the process has no room to map them: read when asked for."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.offset, self.shape, self.dtype = path, offset, shape, dtype
        self.ndim = len(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, own: Any) -> Any:
        """Some rows, by a slice of them or by ascending numbers."""
        if not isinstance(own, slice):
            wanted = np.asarray(own)
            parts = np.split(wanted, np.flatnonzero(np.diff(wanted // _LOOKED_AT)) + 1)
            return np.concatenate([self[part[0] : part[-1] + 1][part - part[0]] for part in parts if len(part)])
        start, stop, _ = own.indices(len(self))
        d = self.shape[1]
        rows = np.fromfile(
            self.path, self.dtype, (stop - start) * d, offset=self.offset + start * d * self.dtype.itemsize
        )
        if rows.size != (stop - start) * d:
            raise DataError(f"{self.path}: is truncated")
        return rows.reshape(-1, d)


def _column(rows: Any, i: int) -> Any:
    return rows[:, i]


def _read(path: Path, array: str | None, beside: bool) -> Any:
    try:
        if path.suffix.lower() == ".npz":
            return _read_archive(path, array, beside)
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd headers, which the shape then tells of
            shape, dtype, order = _npy_header(file)
            if 0 in shape:
                raise DataError(f"{path}: must hold at least one row and one column, got shape {shape}")
            _check_promise(dtype, shape, path.stat().st_size - file.tell())
            try:
                return npy.open_memmap(path, mode="r")
            except OSError as error:
                if error.errno != errno.ENOMEM or order == "F" or len(shape) != 2:
                    raise
                return _Unmapped(path, file.tell(), shape, dtype)
    except DataError as error:
        raise error if str(error).startswith(f"{path}: ") else DataError(f"{path}: {error}") from None
    except (OSError, *_FOREIGN) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of the file itself; any other OSError says that the file points outside of itself
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as {path.suffix}: {reason}") from None


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype, Literal["C", "F"]]:
    """Shape, dtype and order that a .npy file promises; leaves `file` where its numbers begin."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # later ones are for the names of fields
        raise DataError(f"is a .npy file of version {version}, which is not for plain arrays of numbers")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    if dtype.hasobject:
        raise DataError("holds Python objects, which are never unpickled")
    if dtype.kind not in "biuf":
        raise DataError(f"must hold real numbers, got dtype {dtype}")
    return shape, dtype, "F" if fortran_order else "C"


def _check_promise(dtype: np.dtype, shape: tuple[int, ...], held: int) -> None:
    """Refuses a header that promises more than there is, before anything of that size is allocated."""
    promised = dtype.itemsize * math.prod(shape)
    if promised > held:
        raise DataError(f"is truncated: shape {shape} of {dtype} takes {promised} bytes, there are {held}")


def _read_archive(path: Path, array: str | None, beside: bool) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        member = members[_chosen(path, list(members), array, beside)]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError("is compressed in a way that NumPy does not write")
        # Sizes in the archive's own lists are promises too; the file's size is not.
        held = min(member.file_size, _DEFLATED_MOST * min(member.compress_size, path.stat().st_size))
        with archive.open(member) as file:
            shape, dtype, _ = _npy_header(file)  # type: ignore[arg-type]
            _check_promise(dtype, shape, held - file.tell())
        with archive.open(member) as file:
            if (copy := spooled(file, held)) is None:  # type: ignore[arg-type]
                return npy.read_array(file, allow_pickle=False)
    shape, dtype, order = _npy_header(copy)
    _check_promise(dtype, shape, os.fstat(copy.fileno()).st_size - copy.tell())
    return np.memmap(copy, dtype, "r", copy.tell(), shape, order)


def _chosen(path: Path, names: list[str], wanted: str | None, beside: bool) -> str:
    held = ", ".join(names) or "none"
    if wanted is not None and wanted not in names:
        raise DataError(f"{path}: has no array {wanted!r}; it holds {held}")
    if beside and len(names) != 1:
        raise DataError(f"{path}: must hold one array, got {held}; save the one that is meant as a .npy file")
    if wanted is None and len(names) != 1:
        raise DataError(f"{path}: choose one of its arrays with --array; it holds {held}")
    return names[0] if wanted is None else wanted
