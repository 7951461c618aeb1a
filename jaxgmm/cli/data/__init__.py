"""Rows from files: `.npy`, `.npz`, Parquet, or text with commas, semicolons or tabs between the fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxgmm.cli.data.base import Block, DataError
from jaxgmm.cli.data.files import SUFFIXES
from jaxgmm.cli.data.source import Source

__all__ = ["SUFFIXES", "Block", "DataError", "Source", "read"]


def read(path: Path, **options: Any) -> Block:
    """All rows of a file; `Source` has the options, and what goes wrong."""
    return Source(path, **options).read()
