"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# A file that is being written ends like this. After so many seconds without a change its writer is gone.
_ASIDE, _ABANDONED = ".part", 3600.0


def write_whole(path: Path, content: bytes) -> None:
    """`content` as the file at `path`; see `whole_file`."""
    with whole_file(path) as file:
        file.write(content)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` to write to, renamed over it at the end: a crash leaves the old file or the new one.

    A process that is killed meanwhile leaves the file behind; `abandoned` finds it.
    """
    if path.exists() and not path.is_file():  # a device or a pipe is written to, never replaced
        with open(path, "wb") as file:
            yield file
        return
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_ASIDE)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp is private by design; a model is as readable as any other file its owner writes
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(aside, 0o666 & ~mask)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def abandoned(path: Path) -> list[Path]:
    """Files that killed processes have left beside `path`, which they were writing."""
    found = []
    for file in path.parent.glob(f".{glob.escape(path.name)}.*{_ASIDE}"):
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > _ABANDONED:
                found.append(file)
    return found
