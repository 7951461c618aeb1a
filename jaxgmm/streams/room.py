"""How much memory rows may take where passes read them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.lazily import jax
from jaxgmm.rows import RowSource

#: the share of the free memory that rows may take
SHARE = 0.5
# Beside its numbers a row has a weight, its number and its place; and slots are up to 8 % more than rows.
_BESIDE, _SPARE = 12, 1.08


def checked_cache(cache: Any) -> str | int:
    """What a user says of it: "auto", "all", "none", or so many bytes.

    Raises:
        ValueError, TypeError: it is none of these.
    """
    if isinstance(cache, str):
        return arguments.choice("cache", cache, ("auto", "all", "none"))
    if isinstance(cache, bool) or not isinstance(cache, int | np.integer):
        raise ArgumentError("cache", "be 'auto', 'all', 'none' or a number of bytes", arguments.shown_with_type(cache))
    return arguments.integer("cache", cache, 0)


def room_for(source: RowSource, dtype: np.dtype, cache: str | int) -> int | None:
    """How many bytes of a source's rows are to stay where passes read them; None for all of them."""
    if cache == "all":
        return None
    n, d = source.shape
    wanted = int(n * _SPARE * (d * dtype.itemsize + _BESIDE))
    room = int(SHARE * free_bytes()) if cache == "auto" else 0 if cache == "none" else int(cache)
    return None if wanted <= room else room


def free_bytes() -> int:
    """What the device that computes has free: of memory of its own, or of the process's."""
    if jax.default_backend() != "cpu":
        held = jax.devices()[0].memory_stats() or {}
        if "bytes_limit" in held:
            return int(held["bytes_limit"]) - int(held.get("bytes_in_use", 0))
    return min(_of_the_system(), _of_the_group(), _of_the_process())


def _of_the_system() -> int:
    found = re.search(r"MemAvailable:\s+(\d+)", _text("/proc/meminfo"))
    if found:
        return int(found[1]) << 10
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # not every system tells
        return 1 << 32


def _of_the_group() -> int:
    """What a container may still take."""
    limit, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    return int(limit) - int(used or 0) if limit.isdigit() else sys.maxsize


def _of_the_process() -> int:
    """What is left of `ulimit -v`."""
    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _text("/proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not pages:
        return sys.maxsize
    return max(0, limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE"))


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
