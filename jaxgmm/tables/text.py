"""Text with commas, semicolons or tabs between the fields."""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from jaxgmm.tables.base import LABEL, ChosenColumns, DataError, Role, RowTable, TableBlock

SUFFIXES = (".csv", ".tsv", ".txt")

# Labels are read as text of so many characters, so that empty fields can be told from numbers; a longer one was cut.
_LABEL_WIDTH = 32
_IF_HEADER = "if the line is a header, leave it out, or give its columns names that are not numbers"


class TextTable(RowTable):
    """Rows in lines. The first line may be a header: it has no number in it, or one of the names `asked` for.

    Raises:
        DataError: no rows, or no text.
    """

    def __init__(self, path: Path, asked: Collection[str] = ()) -> None:
        self.path = path
        self._doubtful: list[int] = []
        with self._opened() as file:
            self._read_layout(file, asked)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[TextIO]:
        try:
            with open(self.path, encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: is not text in UTF-8 ({error.reason} at byte {error.start})") from None
        except csv.Error as error:
            raise DataError(f"{self.path}: {error}") from None

    def _read_layout(self, file: TextIO, asked: Collection[str]) -> None:
        """Finds the delimiter, the header, how many lines come before the first row, and how many fields it has."""
        blank = 0
        line = ""
        for line in file:
            if line.strip():
                break
            blank += 1
        else:
            raise DataError(f"{self.path}: holds no rows")
        unquoted = "".join(line.split('"')[::2])
        self.delimiter = next((mark for mark in "\t;," if mark in unquoted), ",")
        reader = csv.reader(itertools.chain([line], file), delimiter=self.delimiter)
        first = [field.strip() for field in next(reader)]
        header_ends = blank + reader.line_num
        second = next((fields for fields in reader if fields), [])
        for number, fields in ((blank + 1, first), (blank + reader.line_num, second)):
            self._refuse_spaces(number, fields)
        # A line with a number in it is a row with a fault, and should be reported as one.
        if any(_number(field) is not None for field in first) and not any(field in asked for field in first):
            self._refuse_numbering(blank + 1, first)
            self._skip, self.width = blank, len(first)
            pairs = enumerate(zip(first, second, strict=False))
            self._doubtful = [i for i, (a, b) in pairs if a and _number(a) is None and _number(b) is not None]
            return
        if not second:
            raise DataError(f"{self.path}: holds no rows")
        if len(first) != len(second):
            raise DataError(
                f"{self.path}:{blank + 1}: a header must have a name for each column, got {_fields(first)} where line "
                f"{blank + reader.line_num} has {len(second)}"
            )
        self._skip, self.width, self.names = header_ends, len(second), first

    def _refuse_spaces(self, line: int, fields: list[str]) -> None:
        words = fields[0].split() if len(fields) == 1 else []
        if len(words) > 1 and all(_number(word) is not None for word in words):
            raise DataError(
                f"{self.path}:{line}: numbers must stand apart by commas, semicolons or tabs, got spaces between them"
            )

    def _refuse_numbering(self, line: int, first: list[str]) -> None:
        """Refuses a first line of column numbers, as pandas writes it for columns without names."""
        numbers = first if first[0] else first[1:]
        if len(first) > 1 and numbers == [str(i) for i in range(len(numbers))]:
            raise DataError(
                f"{self.path}:{line}: {','.join(first)} may be a header or a row: leave it out if it is a header, put "
                "a line of names above it if it is a row"
            )

    def blocks(self, chosen: ChosenColumns, size: int) -> Iterator[TableBlock]:
        roles = chosen.roles()
        dtype: np.dtype = np.dtype([(f"f{i}", self._type(roles.get(i))) for i in range(self.width)])
        if list(chosen.features) == list(range(self.width)):
            dtype = np.dtype(np.float64)
        for i in self._doubtful:
            if i not in roles:  # where it counts, it is reported as what it is
                raise DataError(
                    f"{self.path}:{self._skip + 1}:{i + 1}: text where the next line has a number: {_IF_HEADER}"
                )
        n = quotes = 0

        def counted(file: TextIO) -> Iterator[str]:
            nonlocal quotes
            for line in file:
                quotes += line.count('"')
                yield line

        with self._opened() as file:
            for _ in range(self._skip):
                file.readline()
            lines = counted(file)
            while True:
                found, complaint = self._loaded(lines, dtype, size)
                block = None if found is None else self._block(found, chosen)
                if block is None:
                    self._find_fault(roles)
                    raise DataError(f"{self.path}: {complaint}")
                n += len(block)
                if len(block):
                    yield block
                if len(block) < size:
                    break
        if n == 0:
            raise DataError(f"{self.path}: holds no rows")
        if quotes % 2:
            self._check_quotes()

    def _check_quotes(self) -> None:
        """Refuses a quotation mark that is never closed: all that follows would be one field."""
        with self._opened() as file:
            rows = csv.reader(itertools.islice(file, self._skip, None), delimiter=self.delimiter, strict=True)
            begun = self._skip + 1
            try:
                for _ in rows:
                    begun = self._skip + rows.line_num + 1
            except csv.Error as error:
                reason = f"a quotation mark is not closed, or stands amid a field ({error})"
                raise DataError(f"{self.path}:{begun}: {reason}") from None

    def _type(self, role: Role | None) -> str:
        """How a column is read. One character is enough of a column without a role."""
        return "U1" if role is None else f"U{_LABEL_WIDTH}" if role is LABEL else "f8"

    def _loaded(self, lines: Iterator[str], dtype: np.dtype, size: int) -> tuple[Any, str]:
        """The next rows, or None and what NumPy has to say: its reader is fast but does not say where."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of empty lines, and of an empty file
            try:
                found = np.loadtxt(
                    lines, dtype, delimiter=self.delimiter, quotechar='"', comments=None, max_rows=size,
                    ndmin=1 if dtype.names else 2,
                )  # fmt: skip
            except UnicodeDecodeError:
                raise
            except ValueError as error:
                return None, str(error)
        if found.ndim == 2 and found.size and found.shape[1] != self.width:
            return None, f"rows of {found.shape[1]} fields, where the first has {self.width}"
        return found, "fields that are not what they must be"

    def _block(self, found: Any, chosen: ChosenColumns) -> TableBlock | None:
        """A block of what was read; None if any of it is not sound."""
        if found.dtype.names is None:
            return TableBlock(found) if np.isfinite(found).all() else None
        x = np.empty((len(found), len(chosen.features)))
        for j, i in enumerate(chosen.features):
            x[:, j] = found[f"f{i}"]
        others = {i: role for i, role in chosen.roles().items() if i not in chosen.features}
        values = {i: _labels(found[f"f{i}"]) if role is LABEL else found[f"f{i}"] for i, role in others.items()}
        sound = np.isfinite(x).all() and all(role.sound(values[i]).all() for i, role in others.items())
        return chosen.block(x, values.__getitem__) if sound else None

    def _find_fault(self, roles: dict[int, Role]) -> None:
        """Raises DataError for the first field that is not as its role wants it, or the first row of another length."""
        with self._opened() as file:
            reader = csv.reader(itertools.islice(file, self._skip, None), delimiter=self.delimiter)
            for fields in reader:
                if not fields:
                    continue
                line = self._skip + reader.line_num
                for number, field in enumerate(fields[: self.width]):
                    if (role := roles.get(number)) and (fault := _fault(field, role)):
                        got = repr(field) if field.strip() else "an empty field"
                        advice = f"; {_IF_HEADER}" if line == self._skip + 1 and number in self._doubtful else ""
                        raise DataError(f"{self.path}:{line}:{number + 1}: {got} is not {fault}{advice}")
                if len(fields) != self.width:
                    where = min(len(fields), self.width) + 1
                    raise DataError(
                        f"{self.path}:{line}:{where}: {_fields(fields)}, where earlier rows have {self.width}"
                    )


def _fields(fields: list[str]) -> str:
    return f"{len(fields)} field{'' if len(fields) == 1 else 's'}"


def _fault(field: str, role: Role) -> str | None:
    """What a field is not, though it should be."""
    if role is LABEL:
        return None if LABEL.sound(_label(field)) else role.wants
    value = _number(field)
    if value is None:
        return "a number"
    return None if role.sound(value) else role.wants


def _labels(fields: Any) -> Any:
    """Labels from text, NaN where unknown. There are few different ones."""
    different, which = np.unique(fields, return_inverse=True)
    return np.array([_label(str(field)) for field in different])[which]


def _label(field: str) -> float:
    """NaN where unknown; infinity for what is no number."""
    if not field.strip():
        return math.nan
    value = _number(field) if len(field) < _LABEL_WIDTH else None
    return math.inf if value is None else value


def _number(field: str) -> float | None:
    try:
        # Python reads more than NumPy does: 1_000, and digits of other scripts
        return float(field) if field.isascii() and "_" not in field else None
    except ValueError:
        return None
