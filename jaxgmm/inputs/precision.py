"""Which dtype to compute in, and the x64 scope that goes with it. Global configuration is never touched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgmm.inputs import forking
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.programs import watch


def compute_dtype(*inputs: Any, dtype: Any = None) -> np.dtype:
    """float64 if any input is float64 (or `dtype` says so), else float32.

    Raises:
        ValueError: `dtype` is neither float32 nor float64.
    """
    if dtype is not None:
        wants = "be None, 'float32' or 'float64'"
        try:
            wanted = np.dtype(dtype)
        except TypeError:
            raise ArgumentError("dtype", wants, repr(dtype)) from None
        if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ArgumentError("dtype", wants, str(wanted))
        return wanted
    double = any(np.dtype(value.dtype) in (np.float64, np.longdouble) for value in inputs if value is not None)
    return np.dtype(np.float64 if double else np.float32)


def eps(dtype: Any) -> float:
    """What 1 is told apart by in `dtype`, which NumPy may not know: bfloat16 and its kin."""
    return float(np.finfo(dtype).eps if np.dtype(dtype).kind == "f" else jnp.finfo(dtype).eps)


def has_float64() -> bool:
    """Whether devices compute in float64: on TPUs programs would emulate it."""
    return jax.default_backend() != "tpu"


def widest(dtype: Any) -> np.dtype:
    """What `dtype` is carried in where work is for parameters and not for rows: float64 within a `scope`."""
    if np.dtype(dtype) == np.float64:
        return np.dtype(np.float64)
    return np.dtype(np.float64) if jax.config.read("jax_enable_x64") and has_float64() else np.dtype(dtype)


@contextlib.contextmanager
def scope(dtype: np.dtype, on_host: bool = False) -> Iterator[None]:
    """Within it JAX has float64, in which a fit of float32 rows keeps what would cancel (see `widest`).

    What is computed on the host needs nothing of JAX, and for that nothing is done.

    Arrays keep the dtypes they have. Whatever computes does so within one: here the process's memory maps are looked
    after (`programs`).

    Raises:
        ForkError: JAX cannot compute in this process.
    """
    if on_host:
        yield
        return
    forking.check()
    watch()
    with jax.enable_x64(True):
        yield
