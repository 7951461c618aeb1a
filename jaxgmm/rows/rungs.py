"""How many slots rows are laid out in: few numbers, so that what is compiled for some rows serves most others."""

from __future__ import annotations

from bisect import bisect_left

# Chunks start on cache lines where slots are a multiple of this.
_ALIGNMENT = 16
# A rung is so many slots above the last, or so much larger; where rows are many finer steps cost few programs.
_LEAST_STEP, _STEP, _FINE_STEP, _FINE_FROM = 32, 0.08, 0.02, 1 << 16
_MOST = 1 << 40


def _ladder(fine: bool) -> tuple[int, ...]:
    rungs = [_LEAST_STEP]
    while (last := rungs[-1]) < _MOST:
        step = int(last * (_FINE_STEP if fine and last >= _FINE_FROM else _STEP))
        wanted = last + max(_LEAST_STEP, step // _ALIGNMENT * _ALIGNMENT)
        rungs.append(min(wanted, 1 << last.bit_length()))  # powers of two are sizes of samples
    return tuple(rungs)


#: every number of slots there is: some hundred from one row to 10⁷
RUNGS = _ladder(fine=True)
_COARSE = _ladder(fine=False)


def slots_for(n: int, *, read: bool = True) -> int:
    """Slots for `n` rows: at most 8 % more (2 % above 65 536 rows), or 31 more where that is more.

    Args:
        read: whether a pass reads them all; those that it does not cost memory alone, and are up to 8 % more.
    """
    rungs = RUNGS if read else _COARSE
    return rungs[bisect_left(rungs, n)]
