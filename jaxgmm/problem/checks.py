"""Rows before a fit: errors for what cannot come out right, warnings for what may not mean what it seems to.

Reads the summary of the rows that the fit needs anyway, and of the rows what it takes to see K different ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from jaxgmm.families import Family
from jaxgmm.inputs import precision, telling
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.wording import Wording
from jaxgmm.rows import RowSource

# Above this the spread of a column is made of a few steps of rounding, and nothing can be said of it.
_LOST = 1 / 2
# Above this rounding is seen in the variances' second digit or so.
WORN = 2.0**-6
# A ridge above this share of a variance shapes the answer.
HEAVY_RIDGE = 0.1
# Squares of what lies outside overflow, or vanish.
RANGE = {np.dtype(np.float64): (1e-150, 1e150), np.dtype(np.float32): (1e-37, 1e37)}
# The weights' sum and products with them stay well inside the dtype.
WEIGHTS = {np.dtype(np.float64): (1e-290, 1e290), np.dtype(np.float32): (1e-30, 1e30)}
_NAMED = 6
# Rows looked at for whole numbers, and counted at a time where they differ.
_FIRST, _BLOCK = 1 << 10, 1 << 12


class DataWarning(UserWarning):
    """The rows can be fitted, but something about them deserves a look."""


def check_data(
    x: RowSource, summary: Any, family: type[Family], n_components: int, reg_covar: float | Literal["auto"],
    dtype: np.dtype,
) -> None:  # fmt: skip
    """Looks at validated rows before a fit.

    Args:
        x: rows, in the dtype they came in.
        summary: float64 arrays (d,), `mean`, `scale`, `lowest` and `highest`, over rows with weight.
        family: what is fitted.
        n_components: K.
        reg_covar: the ridge in squared units of the data, or "auto".
        dtype: float32 or float64, in which the fit computes.

    Raises:
        ValueError: naming the columns at fault and what to change.
    """
    dtype, sample_weight = np.dtype(dtype), x.weights
    _check_weights(sample_weight, dtype)
    if not family.traits.support.discrete:
        _check_range(x, summary, dtype)
    messages = []
    if family.traits.has_width:
        _check_rounding(x, summary)
        _check_ridge_needed(summary, family, reg_covar)
        messages = list(_warnings(x, sample_weight, summary, family, reg_covar, dtype))
    distinct = distinct_rows(x, n_components)
    if distinct < n_components:
        if distinct == 1:
            messages = []  # the same in other words
        messages.insert(0, Wording(
            "{x} has {rows}{weighted}, fewer than {n_components:{k}}: at most {components} can differ; "
            "use {n_components:{distinct}}{fewer}",
            rows=_count(distinct, "distinct row"), weighted=_weighted(sample_weight), k=n_components,
            components=_count(distinct, "component"), distinct=distinct, fewer=" or fewer" if distinct > 1 else "",
        ))  # fmt: skip
    if messages:
        telling.warn(Wording.joined("; ", messages), DataWarning)


def distinct_rows(x: RowSource, enough: int) -> int:
    """How many different rows with weight there are; counting stops at `enough`."""
    seen: set[bytes] = set()
    for block in x.blocks(max(_BLOCK, 2 * enough)):
        rows = block.x if block.weight is None else block.x[block.weight > 0]
        # as bytes, in which −0 and 0 would differ
        rows = np.ascontiguousarray(rows + np.zeros((), rows.dtype))
        seen.update(rows.view(f"V{rows.dtype.itemsize * rows.shape[1]}").ravel().tolist())
        if len(seen) >= enough:
            return enough
    return len(seen)


# ---- errors -------------------------------------------------------------------------------------------------


def _check_weights(sample_weight: Any, dtype: np.dtype) -> None:
    if sample_weight is None:
        return
    least, most = WEIGHTS[dtype]
    with np.errstate(over="ignore"):
        largest, total = float(np.max(sample_weight)), float(np.sum(sample_weight, dtype=np.float64))
    if largest < least or total > most:
        wants = f"have a largest weight of at least {least:g} and a sum of at most {most:g} in {dtype}"
        hint = "divide the weights by their mean"
        raise ArgumentError("sample_weight", wants, f"{largest:g} and {total:g}", hint)


def _check_range(x: Any, summary: Any, dtype: np.dtype) -> None:
    least, most = RANGE[dtype]
    wider = Wording('; or use {dtype:"float64"}') if dtype == np.float32 else ""
    size = np.maximum(np.abs(summary.lowest), np.abs(summary.highest))
    if (huge := size > most).any():
        wants, got = f"have magnitudes of at most {most:g} to compute in {dtype}", f"up to {size.max():g}"
        hint = "squares would overflow; rescale {x}, dividing by its largest magnitude{wider}"
        raise ArgumentError("x", wants, f"{got} in {_columns(huge)}", Wording(hint, wider=wider))
    if (small := varies(summary) & (summary.scale < least)).any():
        wants, got = f"vary by at least {least:g} to compute in {dtype}", f"{summary.scale[small].min():g}"
        hint = "squares would vanish; rescale {x}, dividing by its standard deviation{wider}"
        raise ArgumentError(
            "x", wants, f"a standard deviation of {got} in {_columns(small)}", Wording(hint, wider=wider)
        )


def _check_rounding(x: Any, summary: Any) -> None:
    """Refuses columns whose spread was rounded away before they came here."""
    lost = wear(x, summary) > _LOST
    if lost.any():
        j = int(np.argmax(lost))
        got = (
            f"a standard deviation of {summary.scale[j]:.2g} about {summary.mean[j]:.6g}, where neighbouring numbers "
            f"are {_step(x.dtype, summary)[j]:.2g} apart, in {_columns(lost)}"
        )
        raise ArgumentError("x", f"carry its spread in the digits of {x.dtype}", got, _rounding_advice(x.dtype))
    if x.dtype.kind not in "biu" and x.dtype.itemsize < 8 and not varies(summary).any():
        exact = 2 / precision.eps(x.dtype)
        if (large := np.abs(summary.mean) >= exact).any():
            got = (
                f"equal rows of magnitude {np.abs(summary.mean[large]).max():g}, where numbers beyond {exact:g} are "
                f"rounded to whole steps, in {_columns(large)}"
            )
            raise ArgumentError("x", f"carry its spread in the digits of {x.dtype}", got, _rounding_advice(x.dtype))


def _check_ridge_needed(summary: Any, family: type[Family], reg_covar: float | str) -> None:
    constant = ~varies(summary)
    enough_vary = not constant.all() if family.traits.covariance_kind == "number" else not constant.any()
    if reg_covar != 0 or enough_vary:
        return
    what, got = "columns that vary", f"{_columns(constant)} constant"
    if constant.all():
        what, got = "rows that differ", "equal rows"
    hint = Wording('a variance would be 0; use {reg_covar:"auto"}')
    raise ArgumentError("x", Wording("have {what} where {reg_covar} is 0", what=what), got, hint)


# ---- warnings -----------------------------------------------------------------------------------------------


def _warnings(
    x: RowSource, sample_weight: Any, summary: Any, family: type[Family], reg_covar: float | str, dtype: np.dtype
) -> Iterator[Wording]:
    varied = varies(summary)
    if not varied.any():
        yield Wording("{x} has equal rows: every component is the ridge about one point")
        return
    if not varied.all():
        text = "{x} is constant in {columns}, which cannot tell components apart; leave such columns out"
        yield Wording(text, columns=_columns(~varied))

    n, d = x.shape[0] if sample_weight is None else int(np.count_nonzero(sample_weight)), x.shape[1]
    traits = family.traits
    if d > n and traits.covariance_kind == "matrix":
        yield Wording(
            "{x} has more columns than rows{weighted}, {d} and {n}: in most directions {kind} covariances are the "
            'ridge alone; use {covariance_type:"diag"}',
            weighted=_weighted(sample_weight), d=d, n=n, kind=traits.name,
        )  # fmt: skip

    worn = (wear(x, summary) > WORN) & ~_whole_numbers(x, summary)
    if worn.any():
        yield Wording(
            "{x} lost digits to its offset when it was rounded to {stored}, in {columns}: variances are off by "
            "rounding; {advice}",
            stored=x.dtype, columns=_columns(worn), advice=_rounding_advice(x.dtype),
        )  # fmt: skip

    if not isinstance(reg_covar, str):
        # The ridge's root, since a variance may underflow where the standard deviation does not.
        heavy = varied & (np.sqrt(reg_covar) > np.sqrt(HEAVY_RIDGE) * summary.scale)
        if heavy.any():
            variance = float(np.min(summary.scale[heavy])) ** 2
            yield Wording(
                "{reg_covar:{ridge:g}} is large beside the variance of {x}, down to {variance:.2g} in {columns}: it "
                'shapes the components; use {reg_covar:"auto"}, which goes by the data\'s scale',
                ridge=reg_covar, variance=variance, columns=_columns(heavy),
            )  # fmt: skip

    size = np.maximum(np.abs(summary.lowest), np.abs(summary.highest))
    bits = 24 if dtype == np.float32 else 53
    if x.dtype.kind in "iu" and (large := size > 2.0**bits).any():
        remedy = Wording('use {dtype:"float64"}') if bits == 24 else "subtract an offset first"
        yield Wording(
            "{x} holds integers up to {largest:.0f} in {columns}, beyond 2**{bits}, where {held} no longer tells "
            "neighbours apart; {remedy}",
            largest=size.max(), columns=_columns(large), bits=bits, held=dtype, remedy=remedy,
        )  # fmt: skip


# ---- what both ask ------------------------------------------------------------------------------------------


def varies(summary: Any) -> Any:
    return summary.lowest < summary.highest


def _step(dtype: np.dtype, summary: Any) -> Any:
    """The distance between neighbouring numbers of `dtype` about each column's mean; 0 for integers."""
    if dtype.kind in "biu":
        return np.zeros_like(summary.mean)
    # The mean is the offset that all rows share; single far rows have wide steps without harm to the others.
    steps = precision.eps(dtype) * 2.0 ** (np.frexp(summary.mean)[1] - 1)
    return np.where(summary.mean == 0, 0.0, steps)


def wear(x: Any, summary: Any) -> Any:
    """Steps of rounding per standard deviation; 0 for constant columns."""
    scale = np.where(varies(summary), summary.scale, np.inf)
    with np.errstate(divide="ignore"):
        return _step(x.dtype, summary) / scale


def _whole_numbers(x: RowSource, summary: Any) -> Any:
    """Columns that look like counts or indicators: those were stored without rounding."""
    size = np.maximum(np.abs(summary.lowest), np.abs(summary.highest))
    exact = size <= (0 if x.dtype.kind in "biu" else 2 / precision.eps(x.dtype))
    some = np.asarray(next(x.blocks(_FIRST)).x, np.float64)
    return exact & (some == np.rint(some)).all(axis=0)


def _rounding_advice(dtype: np.dtype) -> str:
    if dtype.itemsize < 8:
        return "pass float64 rows, or subtract the offset before rounding"
    return "subtract the offset before rounding to float64"


def _weighted(sample_weight: Any) -> str:
    return "" if sample_weight is None else " with weight"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _columns(chosen: Any) -> str:
    """The numbers of the chosen columns, in words."""
    numbers = np.flatnonzero(chosen).tolist()
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"column{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:_NAMED]))}{more}"
