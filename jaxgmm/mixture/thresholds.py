"""Where density is called low."""

from __future__ import annotations

from typing import Any

import numpy as np

#: what a threshold may be a quantile of: the rows at hand, or rows drawn from the mixture
QUANTILES = ("rows", "mixture")

_BLOCK = 1 << 16


def density_threshold(scores: Any, share: float, weights: Any = None) -> float:
    """The largest of `scores`, (n,), with no more than `share` of the weight strictly below it.

    A row of weight 2 counts as two, as in a fit; a quantile between scores would not allow that.
    """
    room = 1 + 1e-12  # so that a share of 0.07 in 100 rows is 7 of them, although 0.07 is rounded
    if weights is None:
        rank = min(int(share * len(scores) * room), len(scores) - 1)
        # Only the lowest scores so far are held, as all of them may be in a file.
        lowest, block = np.empty(0, scores.dtype), max(_BLOCK, rank + 1)
        for start in range(0, len(scores), block):
            lowest = np.concatenate([lowest, scores[start : start + block]])
            lowest = lowest if len(lowest) <= rank else np.partition(lowest, rank)[: rank + 1]
        return float(lowest.max())
    order = np.argsort(scores, kind="stable")
    mass = np.asarray(weights, np.float64)[order]
    below = np.cumsum(mass) - mass
    return float(scores[order[np.flatnonzero(below <= share * mass.sum() * room)[-1]]])
