"""Results out: to files that appear whole or not at all, and to stdout."""

from __future__ import annotations

import io
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgmm.persistence import write_whole

TABLE_SUFFIXES = (".csv", ".npy", ".npz")
PICTURE_SUFFIXES = (".png", ".pdf", ".svg")
MODEL_SUFFIXES = (".safetensors",)


def check_writable(path: Path | None, suffixes: Sequence[str] = (), inputs: Sequence[Path] = ()) -> None:
    """Finds out now, before any work, whether `path` can be written.

    Args:
        path: the file to come; None is fine.
        suffixes: how its name may end; anything by default.
        inputs: files that are read, and must not be written over.

    Raises:
        ValueError: it cannot, and why.
    """
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: the name must end in {' or '.join(suffixes)}")
    # A file is replaced by renaming a new one over it: that must never hit a device or a folder.
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: cannot be written: it is not a plain file")
    if any(path.exists() and read.exists() and path.samefile(read) for read in inputs):
        raise ValueError(f"{path}: would be written over, but it is read")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {error.strerror}") from None


def emit_table(path: Path | None, names: Sequence[str], columns: dict[str, Any]) -> None:
    """Writes arrays of n rows to `path`, or as CSV to stdout.

    Args:
        path: `.csv`, `.npy` (the last array alone), `.npz` (each array under its name); None for stdout.
        names: the CSV's header, over the arrays' columns side by side.
        columns: arrays (n,) or (n, c).
    """
    content = io.BytesIO()
    if path is not None and path.suffix.lower() == ".npy":
        np.save(content, list(columns.values())[-1], allow_pickle=False)
    elif path is not None and path.suffix.lower() == ".npz":
        np.savez(content, **columns)
    else:
        _write_csv(content, names, list(columns.values()))
    if path is None:
        sys.stdout.write(content.getvalue().decode())
    else:
        write_whole(path, content.getvalue())


def _write_csv(content: io.BytesIO, names: Sequence[str], arrays: list[Any]) -> None:
    parts = [array[:, None] if array.ndim == 1 else array for array in arrays]
    formats = [_format(part.dtype) for part in parts for _ in range(part.shape[1])]
    content.write(f"{','.join(names)}\n".encode())
    block = 1 << 16  # side by side everything is float64: only ever a block of it
    for start in range(0, len(parts[0]), block):
        rows = np.hstack([part[start : start + block] for part in parts])
        np.savetxt(content, rows, fmt=formats, delimiter=",")


def _format(dtype: np.dtype) -> str:
    """Enough digits to read back the same number."""
    if dtype.kind in "iu":
        return "%d"
    return "%.9g" if dtype == np.float32 else "%.17g"


def emit_json(value: dict[str, Any]) -> None:
    """Prints one JSON object; NaN and infinities, which JSON lacks, become null."""
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
