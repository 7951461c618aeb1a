"""Few small data sets, one after the other in NumPy: they have ended before a program would be compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from jaxgmm.drivers import EM
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Int
from jaxgmm.many.mapped import Posed
from jaxgmm.mixture import Mixture
from jaxgmm.problem.pose import log_priors
from jaxgmm.problem.resolution import Widths
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.host_rows import HostRows
from jaxgmm.run import soundness
from jaxgmm.run.lanes import run_restarts
from jaxgmm.run.loop import Controls
from jaxgmm.run.record import Restarts


def run_one_by_one(
    posed: Posed, make_starts: Callable[[Posed, Int[np.ndarray, " b"]], Mixture], shared: Controls, kernel: str,
    lives: int,
) -> Restarts:  # fmt: skip
    """How all restarts ended, axes p, r; log-likelihoods and mixtures in the rows' coordinates.

    Args:
        posed: the data sets, NumPy.
        make_starts: see `lanes.PackedLanes`.
        lives: whether collapsed restarts are put elsewhere.
    """
    p = len(posed.key)
    starts = make_starts(posed, np.arange(p))
    wide: Any = trees.map(lambda leaf: np.asarray(leaf, np.float64), (posed.penalty, posed.floor, starts))
    dtype, ended = posed.rows.x.dtype, []
    for i in range(p):
        penalty, floor, own = trees.map(lambda leaf: leaf[i], wide)  # noqa: B023
        controls = replace(shared, penalty=penalty, floor=floor, key=posed.key[i])
        around = (lambda i=i: posed.surroundings(i)) if lives else None
        run = run_restarts(EM(), own, _rows(posed, i), controls, kernel=kernel, surroundings=around)
        ended.append(replace(run.restarts, mixtures=run.restarts.mixtures.astype(dtype)))
    return trees.map(lambda *leaves: np.stack(leaves), *ended)


def _each(function: Callable[..., Any], *of_all: Any) -> Any:
    """`function` of every data set's part of `of_all`, leading axis p, put beside one another."""
    p = len(trees.leaves(of_all)[0])
    found = [function(*trees.map(lambda leaf: leaf[i], of_all)) for i in range(p)]  # noqa: B023
    return trees.map(lambda *leaves: np.stack(leaves), *found)


class HostJudge:
    """What `mapped` and `soundness` say of many data sets, one after the other."""

    @staticmethod
    def moved(mixtures: Mixture, shift: Any, root: Any) -> Mixture:
        """See `mapped.moved`."""
        return _each(lambda m, s, r: Mixture(m.weights, m.components.affine(s, r)), mixtures, shift, root)

    @staticmethod
    def log_priors_each(posed: Posed, mixtures: Mixture) -> Any:
        """See `mapped.log_priors_each`."""
        return _each(log_priors, mixtures, posed.penalty.prior)

    @staticmethod
    def unsound(mixtures: Mixture, widths: Widths, n_rows: Any) -> Any:
        """See `soundness.unsound`."""
        return _each(soundness.unsound, mixtures, widths, n_rows)


def _rows(posed: Posed, i: int) -> HostRows:
    n, rows = int(posed.rows.n_rows[i]), posed.rows
    x, weights = np.asarray(rows.x[i, :, :n], np.float64), np.asarray(rows.weights[i, :n], np.float64)
    assert rows.frame is not None
    whitener = rows.frame.whitener
    return HostRows.of(x, weights, Frame.of_all(x, None if whitener is None else np.asarray(whitener[i], np.float64)))
