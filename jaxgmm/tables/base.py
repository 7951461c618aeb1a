"""What a file of rows is: columns, and blocks of some of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

_COUNTED = 1 << 16


class DataError(ValueError):
    """A file that does not hold rows; the message begins with its path."""


class NoRowsError(DataError):
    """A file that could hold rows, and holds none: as good as no file where there are others."""


@dataclass(frozen=True)
class TableBlock:
    """Rows that follow each other: `x` (b, d), and where asked for `weights` (b,) and `labels` (b,), −1 unknown."""

    x: Any
    weights: Any = None
    labels: Any = None

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, field.name) for field in fields(self))

    def at(self, index: Any) -> TableBlock:
        """The rows that a mask, a slice, or numbers choose."""
        return TableBlock(*(None if part is None else part[index] for part in self))


@dataclass(frozen=True)
class Role:
    """What the numbers of a column are for.

    Attributes:
        must: what they must be, for a complaint that goes on with ", got".
        wants: the same after "is not".
        sound: which of an array's numbers are.
    """

    must: str
    wants: str
    sound: Callable[[Any], Any]


FEATURE = Role("must be finite", "finite", np.isfinite)
WEIGHT = Role(
    "weights must be finite and at least 0",
    "a weight, which is finite and at least 0",
    lambda w: np.isfinite(w) & (w >= 0),
)
#: unknown labels are −1; NaN stands for an empty field or a null
LABEL = Role(
    "labels must be integers of at least 0, or -1 where unknown",
    "a label, which is an integer of at least 0, or -1 or nothing where unknown",
    lambda labels: np.isnan(labels) | ((labels >= -1) & (labels < 2**31) & (labels == np.rint(labels))),
)


@dataclass(frozen=True)
class ChosenColumns:
    """Which columns are what, by number from 0."""

    features: Sequence[int] = ()
    weights: int | None = None
    labels: int | None = None

    def roles(self) -> dict[int, Role]:
        """The role of every column that has one."""
        found = dict.fromkeys(self.features, FEATURE)
        for column, role in ((self.weights, WEIGHT), (self.labels, LABEL)):
            if column is not None:
                found[column] = role
        return found

    def block(self, x: Any, column: Callable[[int], Any]) -> TableBlock:
        """A block of the features `x` and of what `column` gives for the others; labels may be NaN where unknown."""
        weights = None if self.weights is None else np.asarray(column(self.weights), np.float64)
        return TableBlock(x, weights, None if self.labels is None else _whole(column(self.labels)))


def _whole(values: Any) -> Any:
    """Sound labels, NaN where unknown, as integers, −1 where unknown."""
    return np.where(np.isnan(values), -1, values).astype(np.int32)


class RowTable(ABC):
    """A file of rows.

    Attributes:
        path: where it is.
        width: how many columns it has.
        names: what they are called; None where they have numbers alone.
    """

    path: Path
    width: int
    names: Sequence[str] | None = None
    _counted: int | None = None

    def n_rows(self, chosen: ChosenColumns) -> int:
        """How many rows there are; by reading what is chosen of them, where a file does not say."""
        if self._counted is None:
            self._counted = sum(len(block) for block in self.blocks(chosen, _COUNTED))
        return self._counted

    def files(self, chosen: ChosenColumns) -> list[tuple[Path, int]]:
        """The files that are read, and how many rows each holds."""
        return [(self.path, self.n_rows(chosen))]

    def dtype(self, features: Sequence[int]) -> np.dtype:
        """Of a block of these columns."""
        return np.dtype(np.float64)

    def rows_at(self, chosen: ChosenColumns, index: Any) -> Any:
        """The features of the rows with these numbers, (b,) and ascending: (b, d)."""
        parts, start = [], 0
        for block in self.blocks(chosen, _COUNTED):
            first, last = np.searchsorted(index, (start, start + len(block)))
            parts.append(block.x[index[first:last] - start])
            start += len(block)
            if last == len(index):
                break
        return np.concatenate(parts)

    @abstractmethod
    def blocks(self, chosen: ChosenColumns, size: int) -> Iterator[TableBlock]:
        """All rows in blocks of at most `size`, every number sound in its role.

        Raises:
            DataError: at the first that is not: names the file and where.
        """

    def whole(self, chosen: ChosenColumns) -> TableBlock | None:
        """All rows at once where that takes no memory; else None."""
        return None

    def sound_block(self, chosen: ChosenColumns, x: Any, column: Callable[[int], Any], first_row: int) -> TableBlock:
        """`chosen.block`, every number of which has been looked at; the first that is not sound is refused."""
        if x.dtype.kind not in "biu" and not (sound := np.isfinite(x)).all():
            row, j = map(int, np.argwhere(~sound)[0])
            self.refuse(FEATURE, x[row, j], chosen.features[j], first_row + row)
        for i, role in chosen.roles().items():
            if role is not FEATURE and not (sound := role.sound(column(i))).all():
                row = int(np.argmin(sound))
                self.refuse(role, column(i)[row], i, first_row + row)
        return chosen.block(x, column)

    def refuse(self, role: Role, value: object, column: int, row: int) -> NoReturn:
        """Raises DataError for one entry."""
        named = "" if self.names is None else f" ({self.names[column]!r})"
        advice = "; drop or fill such rows first" if role is FEATURE else ""
        raise DataError(f"{self.path}: {role.must}, got {value} at row {row}, column {column}{named}{advice}")
