"""A process forked after JAX began to compute cannot compute: JAX would wait for threads that the fork left behind."""

from __future__ import annotations

import os
import sys


class ForkError(RuntimeError):
    """This process was forked from one that had computed with JAX: whatever it computed would never end."""


_ADVICE = (
    "this process was forked from one that had already computed with JAX, and to compute here would hang: JAX's "
    "threads do not survive a fork. Start processes with multiprocessing.get_context('spawn') or joblib's loky backend "
    "(its default), or let nothing compute with JAX before the fork"
)
_used = False
_stranded = False


def check() -> None:
    """To be called before JAX is.

    Raises:
        ForkError: this process would wait forever.
    """
    global _used
    if _stranded:
        raise ForkError(_ADVICE)
    _used = True


def _has_begun() -> bool:
    """Whether JAX has started its threads, at anybody's request."""
    # Not by `backends_are_initialized`, which takes a lock that another thread may have held while the process forked.
    backends = getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None)
    return _used if backends is None else bool(backends)


def _in_child() -> None:
    global _stranded
    _stranded = _has_begun()


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_in_child)
