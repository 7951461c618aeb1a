"""The ladder, and whole fits: a race and many data sets, by scores that the host computes from their mixtures."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from ladder_data import BOUNDS, Rung, case, reference_step
from ladder_steps import jaxgmm_step

import jaxgmm
from gpu.host import Parameters, drawn, score, step

#: of a cluster, in spreads of their centres
WIDTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
#: what a score may lie below the truth's, or two fits of the same rows apart: nats per row
_APART = 1e-3
#: what a score may differ by from the host's, of the same mixture
_ROUNDING = 1e-4


def rung(width: float, dtype: str) -> dict[str, Any]:
    """One step from the truth where clusters are so tight, by the kernel that "auto" chooses."""
    posed = case("full", Rung(width=width), dtype)
    truth = reference_step("full", posed.x, posed.weights, posed.means, posed.factor)
    ours = jaxgmm_step(posed, "auto", truth)
    found = {"log_likelihood": ours.errors.log_likelihood, "covariances": ours.errors.covariance}
    told = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
    return {
        "ok": ours.errors.within(dtype), "errors": found, "bounds": BOUNDS[dtype], "kernel": ours.kernel,
        "conditioning": ours.conditioning, "found": f"{ours.kernel}: {told}",
    }  # fmt: skip


def race(n: int, d: int, k: int, n_init: int) -> dict[str, Any]:
    """Whether the best of a race explains the rows as well as what made them."""
    rows, truth = drawn(n, d, k, seed=5)
    x = rows.astype(np.float32)
    fitted = jaxgmm.fit(0, x, k, n_init=n_init, search="race", engine="jax")
    wanted, reached = score(truth, x), score(Parameters.of(fitted.mixture), x)
    raced = fitted.rounds is not None and len(fitted.rounds) > 0
    return {
        "ok": bool(raced and reached >= wanted - _APART and abs(reached - fitted.score) <= _ROUNDING),
        "score": reached, "score_of_truth": wanted, "reported": float(fitted.score), "rounds": len(fitted.rounds or ()),
        "fit_seconds": fitted.seconds,
        "found": f"{reached - wanted:+.1e} nats per row above the truth, {fitted.score - reached:.1e} misreported",
    }  # fmt: skip


def many(p: int, n: int, d: int, k: int, n_init: int, alone: int) -> dict[str, Any]:
    """`p` data sets: every score against the host's, every mixture at rest, and `alone` of them against `fit`."""
    x = np.stack([drawn(n, d, k, seed=7 + i, apart=5.0)[0] for i in range(p)]).astype(np.float32)
    key = jax.random.key(0)
    found = jaxgmm.fit_many(key, x, k, n_init=n_init, reg_covar=0.0, engine="jax")
    at = [Parameters.of(found.mixtures[i]) for i in range(p)]
    reached = np.array([score(mixture, rows) for mixture, rows in zip(at, x, strict=True)])
    further = np.array([_gain(mixture, rows) for mixture, rows in zip(at, x, strict=True)])
    each = [
        jaxgmm.fit(jax.random.fold_in(key, i), x[i], k, n_init=n_init, reg_covar=0.0, engine="jax")
        for i in range(alone)
    ]
    apart = np.abs(np.array([score(Parameters.of(one.mixture), x[i]) for i, one in enumerate(each)]) - reached[:alone])
    errors = {
        "misreported": float(np.max(np.abs(found.score - reached))),
        "not at rest": float(np.max(np.abs(further))),
        "from fit": float(np.max(apart)),
    }
    bounds = {"misreported": _ROUNDING, "not at rest": _ROUNDING, "from fit": _APART}
    told = ", ".join(f"{name} {value:.1e}" for name, value in errors.items())
    return {
        "ok": all(errors[name] <= bound for name, bound in bounds.items()),
        "errors": errors, "bounds": bounds, "fit_seconds": found.seconds, "found": told,
    }  # fmt: skip


def _gain(at: Parameters, x: Any) -> float:
    """What one more step gains, nats per row: little where EM has converged."""
    moved = step(at, x)
    return score(Parameters(at.kind, moved.counts / len(x), moved.means, moved.covariances), x) - score(at, x)
