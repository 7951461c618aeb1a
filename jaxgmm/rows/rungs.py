"""How many slots rows are laid out in: few numbers, so that what is compiled for some rows serves most others."""

from __future__ import annotations

from bisect import bisect_left

# Chunks start on cache lines where slots are a multiple of this.
_ALIGNMENT = 16
# A rung is so many slots above the last, or so much larger; where rows are many finer steps cost few programs.
_LEAST_STEP, _STEP, _FINE_STEP, _FINE_FROM = 32, 0.08, 0.02, 1 << 16
_MOST = 1 << 40


def _ladder() -> tuple[int, ...]:
    rungs = [_LEAST_STEP]
    while (last := rungs[-1]) < _MOST:
        step = int(last * (_STEP if last < _FINE_FROM else _FINE_STEP))
        wanted = last + max(_LEAST_STEP, step // _ALIGNMENT * _ALIGNMENT)
        rungs.append(min(wanted, 1 << last.bit_length()))  # powers of two are sizes of samples
    return tuple(rungs)


#: every number of slots there is: some hundred from one row to 10⁷
RUNGS = _ladder()


def slots_for(n: int) -> int:
    """Slots for `n` rows: at most 8 % more (2 % above 65 536 rows), or 31 more where that is more."""
    return RUNGS[bisect_left(RUNGS, n)]
