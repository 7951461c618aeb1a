"""What `test_laws.py` draws: rows of every kind, weights, starts, options; in few shapes, as each is compiled."""

from __future__ import annotations

import os
import warnings
from typing import NamedTuple

import numpy as np
import pytest
from create import NAMES
from hypothesis import HealthCheck, assume, reject, settings
from hypothesis import strategies as st

import jaxgmm
from jaxgmm import FitResult, Mixture, Status

_TIMES = int(os.environ.get("JAXGMM_LAW_EXAMPLES", "0"))
SEEDS = st.integers(0, 2**31)


def lawful(examples: int):
    """A law of so many examples, always the same ones; `scripts/soak` draws many more, new each time."""
    drawn = settings(
        max_examples=examples * max(_TIMES, 1),
        deadline=None,
        derandomize=not _TIMES,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.differing_executors],
    )
    return lambda test: pytest.mark.slow(drawn(test)) if _TIMES else drawn(test)


class Case(NamedTuple):
    """What is compiled."""

    family: str
    dtype: str
    n: int
    d: int
    k: int
    prior: str | None = None

    def __str__(self) -> str:
        return f"{self.family}-{self.dtype}-n{self.n}-d{self.d}-k{self.k}" + ("-prior" if self.prior else "")


CASES = (
    Case("full", "float32", 16, 2, 3),
    Case("full", "float64", 4, 6, 2),
    Case("full", "float32", 3, 2, 3),
    Case("full", "float32", 1, 2, 1),
    Case("full", "float64", 32, 1, 2, "default"),
    Case("tied", "float32", 4, 6, 2),
    Case("tied", "float64", 16, 2, 3),
    Case("diag", "float32", 16, 2, 3, "default"),
    Case("diag", "float64", 5, 2, 3),
    Case("spherical", "float32", 5, 2, 3),
    Case("bernoulli", "float32", 16, 2, 3),
)
EASY = [Case(name, "float64", 16, 2, 3) for name in NAMES]
over = lambda cases: pytest.mark.parametrize("case", cases, ids=str)  # noqa: E731


# ---- what goes in -------------------------------------------------------------------------------------------


@st.composite
def clouds(draw, case: Case) -> np.ndarray:
    """Rows in float64 without a tie: clusters that are far apart or not."""
    rng = np.random.default_rng(draw(SEEDS))
    apart = draw(st.sampled_from([0, 3, 30]))
    x = rng.normal(size=(case.n, case.d)) + apart * rng.normal(size=(3, case.d))[rng.integers(0, 3, case.n)]
    return (x > 0).astype(float) if case.family == "bernoulli" else x


@st.composite
def hard_rows(draw, case: Case) -> np.ndarray:
    """Rows with ties, constant columns, outliers, offsets, and features of very different size."""
    x = draw(clouds(case))
    rng = np.random.default_rng(draw(SEEDS))
    x = x[rng.integers(0, draw(st.integers(1, case.n)), case.n)] if draw(st.booleans()) else x
    if case.family == "bernoulli":
        return x.astype(case.dtype)
    grain = draw(st.sampled_from([0, 0, 0.5, 4]))
    x = np.round(x / grain) * grain if grain else x
    x[: draw(st.integers(0, 2))] *= 10.0 ** draw(st.integers(1, 6))
    tight = draw(st.sampled_from([0, 0, 3, 6]))
    x[: case.n // 2] = x[0] + 10.0**-tight * (x[: case.n // 2] - x[0])
    x += draw(st.sampled_from([0, 0, 1, 100]))
    return (x * 10.0 ** np.array(draw(st.lists(st.integers(-6, 6), min_size=case.d, max_size=case.d)))).astype(
        case.dtype
    )


def weights(n: int, wild: bool = False) -> st.SearchStrategy:
    size = st.one_of(st.floats(0.1, 3), st.sampled_from([1e-6, 1.0, 1e6])) if wild else st.floats(0.1, 3)
    return st.one_of(st.none(), st.lists(size, min_size=n, max_size=n).map(np.array))


def starts(case: Case, x: np.ndarray, seed: int) -> Mixture:
    """Two starts about rows of `x`, each component as wide as the rows are."""
    rng = np.random.default_rng(seed)
    means = np.stack([x[rng.choice(case.n, case.k, replace=False)] for _ in range(2)]).astype(np.float64)
    share = rng.dirichlet(np.full(case.k, 5.0), 2)
    if case.family == "bernoulli":
        return Mixture.create(share, 0.2 + 0.6 * means, covariance_type="bernoulli", dtype=case.dtype)
    covariance = np.atleast_2d(np.cov(x.T.astype(np.float64), bias=True)) + np.diag(1e-6 * x.var(0) + 1e-12)
    variances = np.diagonal(covariance)
    own = {"full": covariance, "tied": covariance, "diag": variances, "spherical": variances.mean()}[case.family]
    lead = (2,) if case.family == "tied" else (2, case.k)
    covariances = np.broadcast_to(own, (*lead, *np.shape(own)))
    return Mixture.create(share, means, covariances, covariance_type=case.family, dtype=case.dtype)


KINDS = ("k-means++", "kmeans", "random_from_data", "random", "labels", "shares", "mixture")


@st.composite
def inits(draw, case: Case, x: np.ndarray):
    # every kind is compiled: three for each case
    start = sum(map(ord, str(case)))
    kind = draw(st.sampled_from([KINDS[(start + 2 * i) % len(KINDS)] for i in range(3)]))
    rng = np.random.default_rng(draw(SEEDS))
    if kind == "labels":
        return rng.integers(0, case.k, (2, case.n))
    if kind == "shares":
        return rng.dirichlet(np.ones(case.k), (2, case.n))
    if kind == "mixture":
        assume(np.ptp(x, axis=0).all() and case.n > case.d)
        return starts(case, x, draw(SEEDS))
    return kind


def fit(case: Case, x: np.ndarray, **options) -> FitResult:
    """Two restarts of `case`: one shape for all laws."""
    options = {"n_init": 2, "tol": 0.0, "max_iter": 8} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxgmm.DataWarning)
        warnings.simplefilter("ignore", jaxgmm.FitWarning)
        return jaxgmm.fit(options.pop("key", 0), x, case.k, covariance_type=case.family, **options)


def hard_fit(case: Case, data: st.DataObject) -> tuple[np.ndarray, FitResult]:
    """Rows of every kind, and a fit of them by any options."""
    x = data.draw(hard_rows(case), "x")
    options = {
        "sample_weight": data.draw(weights(case.n, wild=True), "w"),
        "key": data.draw(SEEDS, "key"),
        "init": data.draw(inits(case, x), "init"),
        "on_degenerate": data.draw(st.sampled_from(["reinit", "stop", "keep"]), "on_degenerate"),
        "reg_covar": data.draw(st.sampled_from(["auto", "auto", 1e-12, 1e-3]), "reg_covar"),
        "max_iter": data.draw(st.integers(0, 12), "max_iter"),
    }
    try:
        return x, fit(case, x, prior=case.prior, **options)
    except ValueError as error:
        if "carry its spread" in str(error):  # float32 that an offset has swallowed
            reject()
        raise
    except jaxgmm.FitError:
        if options["reg_covar"] != "auto":  # a ridge that is nothing in these units
            reject()
        if options["on_degenerate"] == "keep" and case.n <= case.k:  # collapsed as wanted, past what is finite
            reject()
        raise


def tame(result: FitResult, x: np.ndarray) -> list[int]:
    """Restarts whose components are wide enough beside `x` for rounding not to grow from step to step."""
    unit = np.where(x.std(0) > 0, x.std(0), 1)
    found = []
    for i in np.flatnonzero(result.status == Status.MAX_ITER):
        m = result.mixtures[i]
        width = np.linalg.eigvalsh(m.covariance_matrices() / np.outer(unit, unit)).min()
        if m.weights.min() > 1e-3 and (width > 1e-4 or m.covariance_type == "bernoulli"):
            found.append(int(i))
    assume(found)
    return found
