"""What processes of one fit must agree on: who writes, and when to end."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgmm.inputs import lazily
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.lazily import jax

# How collectives and JAX's coordination say that somebody is gone.
_GONE = re.compile(r"gloo|nccl|all-?reduce|connection (closed|reset|refused)|heartbeat|coordination", re.IGNORECASE)


class PeerError(RuntimeError):
    """Another process of this fit has ended, or cannot be reached: this one cannot go on alone."""


@contextlib.contextmanager
def together(mesh: Any) -> Iterator[None]:
    """Within it the end of another process of `mesh` is a `PeerError`."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        ours = type(error).__module__.startswith("jaxgmm.")
        if mesh is None or n_processes() == 1 or ours or not _GONE.search(str(error)):
            raise
        raise PeerError(
            "another process of this fit has ended, or cannot be reached; with a checkpoint the same call goes on from "
            "there, with any number of processes"
        ) from error


def join(cluster: str) -> None:
    """Joins the processes that compute together: "auto" lets JAX find them, HOST:PORT,COUNT,RANK says which they are.

    Raises:
        ArgumentError: neither, or JAX finds none.
    """
    where = re.fullmatch(r"([^,]+:\d+),(\d+),(\d+)", cluster)
    if where is None and cluster != "auto":
        raise ArgumentError("distributed", "be auto or HOST:PORT,COUNT,RANK", repr(cluster))
    try:
        if where is None:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(where[1], int(where[2]), int(where[3]))
    except (RuntimeError, ValueError) as error:
        raise ArgumentError("distributed", "name processes that can be reached", repr(cluster), str(error)) from error


def n_processes() -> int:
    """How many processes compute together (`jax.distributed`)."""
    return jax.process_count() if lazily.is_loaded() and jax.distributed.is_initialized() else 1


def writes() -> bool:
    """Whether this is the one process that writes files."""
    return n_processes() == 1 or jax.process_index() == 0


def agreed(value: int) -> int:
    """What the first process says, in all of them: clocks and callbacks of each would have ends of their own."""
    if n_processes() == 1:
        return value
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.asarray(value, np.int32)))
