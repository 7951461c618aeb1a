"""What must be right before anything is timed, the simplest first."""

from __future__ import annotations

from functools import partial

from gpu import fits, room, steps
from gpu.report import Report
from jaxgmm.em import KERNELS

_DTYPES = ("float32", "float64")
#: rows, features, components, starts
_RACE, _QUICK_RACE = (100_000, 4, 6, 32), (3000, 2, 3, 8)
#: data sets, rows, features, components, starts, and how many are fitted alone, too
_MANY, _QUICK_MANY = (256, 300, 3, 3, 4, 4), (24, 200, 2, 2, 2, 1)


def run(report: Report, quick: bool) -> None:
    """All cases."""
    attempt = partial(report.attempt, "correctness")
    for dtype in _DTYPES:
        for kind in steps.KINDS:
            for kernel in KERNELS:
                attempt(f"step: {kind}, {dtype}, {kernel}", partial(steps.checked, kind, dtype, kernel))
    for dtype in _DTYPES:
        for width in fits.WIDTHS:
            attempt(f"ladder: width {width:g}, {dtype}", partial(fits.rung, width, dtype))
    attempt("race", partial(fits.race, *(_QUICK_RACE if quick else _RACE)))
    attempt("fit_many", partial(fits.many, *(_QUICK_MANY if quick else _MANY)))
    attempt("a device without room", room.halved)
