"""Rows from files: `.npy`, `.npz`, Parquet, or text with commas, semicolons or tabs between the fields."""

from __future__ import annotations

from pathlib import Path

from jaxgmm.cli.data.source import Source
from jaxgmm.tables.base import DataError, TableBlock
from jaxgmm.tables.files import SUFFIXES, is_file
from jaxgmm.tables.spool import Spool

__all__ = ["SUFFIXES", "DataError", "Source", "Spool", "TableBlock", "inputs"]


def inputs(path: Path, *beside: str | None) -> list[Path]:
    """The files that are read: DATA, and what options name columns or files of."""
    return [path, *(Path(value) for value in beside if value is not None and is_file(value))]
