"""Results out: to files that appear whole or not at all, and to stdout."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet  # noqa: F401  # so that it is missed before the work, not after
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: the name must end in {' or '.join(suffixes)}")
    # A file is replaced by renaming a new one over it: that must never hit a device or a folder.
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: cannot be written: it is {'a folder' if path.is_dir() else 'not a plain file'}")
    if any(path.exists() and read.exists() and path.samefile(read) for read in inputs):
        raise ValueError(f"{path}: would be written over, but it is read")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {error.strerror}") from None


def check_apart(**written: Path | None) -> None:
    """Refuses two options that name the same file to write.

    Raises:
        ValueError: naming both.
    """
    seen: dict[str, str] = {}
    for option, path in written.items():
        if path is not None and (other := seen.setdefault(os.path.realpath(path), option)) != option:
            raise ValueError(f"{other} and {option} must be different files, got {path} for both")


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
