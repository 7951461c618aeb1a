"""Whatever holds numbers, as a NumPy array: lists, data frames, tensors of other libraries, objects."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from jaxgmm.inputs import forking, lazily
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.lazily import jax, jnp

#: what helps against rows with entries that are missing or not finite
DROP_ROWS = "drop or fill such rows first"


def to_numpy(name: str, x: Any) -> Any:
    """`x` as a NumPy array of real numbers in the machine's byte order; a view of it where that can be.

    Raises:
        TypeError: sparse, traced, no array at all, or not real numbers; the first entry at fault is named.
        ValueError: masked, ragged, or with an entry missing, which is named.
    """
    if hasattr(x, "blocks") and hasattr(x, "fingerprint"):
        raise ArgumentTypeError(
            name, "be an array", f"{type(x).__name__}, a source of rows", "fit, select and mixtures read sources"
        )
    if any(hasattr(x, way) for way in ("tocsr", "todense", "to_dense")) and _is_sparse(x):
        how = "toarray" if hasattr(x, "toarray") else "to_dense" if hasattr(x, "to_dense") else "todense"
        raise ArgumentTypeError(name, "be a dense array", f"a sparse {type(x).__name__}", f"use {name}.{how}()")
    if isinstance(x, np.ma.MaskedArray) or (
        isinstance(x, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in x)
    ):
        hint = f"the mask would be ignored; fill or drop its rows, or pass {name}.data if nothing is masked"
        raise ArgumentError(name, "not be a masked array", None, hint)
    if lazily.is_traced(x):
        hint = "call this outside jit, vmap and grad"
        raise ArgumentTypeError(name, "be a concrete array", type(x).__name__, hint)

    array = _converted(name, x)
    if array.dtype.kind in "OUST":
        array = _from_objects(name, x, array)
    # bfloat16 and its kin are foreign to NumPy's kinds; they are numbers all the same
    if array.dtype.kind not in "biuf" and jnp.issubdtype(array.dtype, jnp.integer):
        array = array.astype(np.int64)
    if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        hint = "numpy.lib.recfunctions.structured_to_unstructured makes columns of fields" if array.dtype.names else ""
        raise ArgumentTypeError(name, "hold real numbers", f"dtype {array.dtype}", hint)
    if array.dtype == np.longdouble and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def finite(name: str, x: Any, dtype: Any = None) -> Any:
    """`x`, of any shape, as `to_numpy` gives it; or in `dtype`, which must be able to hold it.

    Raises:
        TypeError, ValueError: as `to_numpy`, and for NaN, infinity, and what `dtype` makes of large numbers.
    """
    array = to_numpy(name, x)
    with np.errstate(over="ignore"):
        held = array.astype(np.float64 if array.dtype.kind not in "biuf" else array.dtype if dtype is None else dtype)
    bad = ~np.isfinite(held)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        within = f" in {np.dtype(dtype)}" if np.isfinite(float(array[index])) else ""
        raise ArgumentError(name, f"be finite{within}", f"{array[index]} at {list(index)}")
    return array if dtype is None else held.astype(dtype, copy=False)


def place(x: Any, index: tuple[int, ...]) -> str:
    """Where an entry of `x` is, in words; a column with a name is named."""
    if len(index) != 2:
        return f"row {index[0]}" if len(index) == 1 else f"index {index}"
    row, column = (int(i) for i in index)
    names = getattr(x, "column_names", getattr(x, "columns", None))  # pyarrow has both: its names are the former
    named = "" if names is None or len(names) <= column or names[column] == column else f" ({names[column]!r})"
    return f"row {row}, column {column}{named}"


def _is_sparse(x: Any) -> bool:
    """Dense tensors of torch know `to_dense` too."""
    return "strided" not in str(getattr(x, "layout", ""))


def _converted(name: str, x: Any) -> Any:
    if hasattr(x, "detach") and getattr(x, "requires_grad", False):
        x = x.detach()  # nothing here is differentiated in torch, so nothing is lost
    array = None
    if not hasattr(x, "__array__"):
        array = _by_dlpack(x)
    if array is None:
        try:
            array = np.asarray(x)
        except MemoryError:
            raise
        except Exception as error:  # what another library raises is its own affair
            array = _by_dlpack(x)
            if array is None:
                _complain_of_shape(name, x, error)
    if array.ndim == 0 and array.dtype.kind in "OUST":
        hint = "read the file first" if isinstance(x, str) or hasattr(x, "__fspath__") else ""
        raise ArgumentTypeError(name, "be an array of numbers", type(x).__name__, hint)
    return array


def _by_dlpack(x: Any) -> Any:
    """`x` by way of DLPack, or None; JAX reads what NumPy cannot: other devices, and bfloat16."""
    if not hasattr(x, "__dlpack__"):
        return None
    try:
        return np.from_dlpack(x)
    except Exception:
        forking.check()
        try:
            with jax.enable_x64(True):
                return np.asarray(jnp.from_dlpack(x))
        except Exception:
            return None


def _complain_of_shape(name: str, x: Any, error: Exception) -> NoReturn:
    """Raises for what NumPy could not read: rows of unequal lengths, or no array at all."""
    if not isinstance(error, ValueError):
        raise ArgumentTypeError(name, "be an array of numbers", type(x).__name__, str(error)) from None
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in x] if isinstance(x, list | tuple) else []
    odd = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    reason = str(error) if odd is None else f"row {odd} has {lengths[odd]} entries, where row 0 has {lengths[0]}"
    raise ArgumentError(name, "be a rectangular array", None, reason) from None


def _from_objects(name: str, x: Any, array: Any) -> Any:
    """float64 from objects that are numbers. Text is never read as a number."""
    # A list of numbers and text became text throughout: its own entries tell which was which.
    entries = array if array.dtype == object else np.array(x, dtype=object)
    try:
        numbers = entries.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = None
    if numbers is not None and not any(isinstance(entry, str | bytes | None) for entry in entries.flat):
        return numbers
    for index, entry in np.ndenumerate(entries):
        if entry is None or type(entry).__name__ in ("NAType", "NaTType"):
            raise ArgumentError(name, "be finite", f"{entry!r} at {place(x, index)}", DROP_ROWS)
        try:
            if isinstance(entry, str | bytes):
                raise TypeError
            float(entry)
        except OverflowError:
            raise ArgumentError(name, "be finite", f"a number beyond float64 at {place(x, index)}") from None
        except (TypeError, ValueError):
            shown = repr(entry) if len(repr(entry)) <= 40 else type(entry).__name__
            raise ArgumentTypeError(name, "hold real numbers", f"{shown} at {place(x, index)}") from None
    raise ArgumentTypeError(name, "hold real numbers", f"dtype {array.dtype}")
