"""Columns as users name them: by the header's names, by number from 0, or by ranges of either."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.tables.base import DataError, RowTable

_LISTED = 8


def asked(listed: str | None, *single: str) -> set[str]:
    """The names that a list, and names of single columns, may hold: what is not a number."""
    items = [] if listed is None else _items(listed)
    parts = {part for item in items for part in (item, *item.split(":"))} | {text.strip() for text in single}
    return {part for part in parts if part and not part.isdecimal()}


def column(table: RowTable, text: str) -> int:
    """The number of one column, given by name or number.

    Raises:
        DataError: there is none; names the nearest.
    """
    text = text.strip()
    if table.names is not None and text in table.names:
        if list(table.names).count(text) > 1:
            raise DataError(f"{table.path}: holds two columns {text!r}: choose one by its number, counted from 0")
        return list(table.names).index(text)
    if text.isdecimal() and text.isascii() and int(text) < table.width:
        return int(text)
    raise DataError(f"{table.path}: has no column {text!r}; {_held(table.path, table.names, table.width, text)}")


def columns(table: RowTable, text: str) -> list[int]:
    """The numbers of the columns of a list such as `height,3,5:7`, in its order; ranges hold both ends.

    Raises:
        DataError: one that the file has not, or has twice; names it, and the nearest.
        ValueError: no such list.
    """
    found: list[int] = []
    for item in _items(text):
        first, colon, last = item.partition(":")
        if colon and item not in (table.names or ()):
            ends = column(table, first), column(table, last)
            if ends[0] > ends[1]:
                raise ArgumentError("--columns", "count upwards, as 2:5 does", repr(item))
            found += range(ends[0], ends[1] + 1)
        else:
            found.append(column(table, item))
    if len(set(found)) < len(found):
        twice = next(number for i, number in enumerate(found) if number in found[:i])
        raise ArgumentError("--columns", "name a column once", f"{_shown(table, twice)} twice in {text!r}")
    return found


def _shown(table: RowTable, number: int) -> str:
    return str(number) if table.names is None else repr(table.names[number])


def _items(text: str) -> list[str]:
    """The parts of a list; quotes are as in CSV."""
    items = [item.strip() for item in next(csv.reader([text], skipinitialspace=True), [])]
    if not any(items):
        raise ArgumentError("--columns", "name a column at least, as height,weight or 0,2:5 do", repr(text))
    if not all(items):
        raise ArgumentError("--columns", "be a list such as height,weight or 0,2:5", repr(text))
    return items


def _held(path: Path, names: Sequence[str] | None, width: int, wanted: str) -> str:
    numbers = "one column, 0" if width == 1 else f"{width} columns, 0 to {width - 1}"
    if names is None:
        return f"it has {numbers}, and no names for them"
    near = arguments.did_you_mean(wanted, names)
    more = f" and {width - _LISTED} more" if width > _LISTED else ""
    return f"it has {numbers}: {', '.join(names[:_LISTED])}{more}{near and f'; {near}'}"
