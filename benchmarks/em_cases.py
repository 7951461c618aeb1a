"""The cases of `em_step.py`: rows, starts, and the contenders that fit them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from peer_process import PeerProcess
from peers import REG_COVAR, Parameters, Problem
from sklearn.cluster import kmeans_plusplus

import jaxgmm


@dataclass(frozen=True)
class Case:
    """One shape of problem: jaxgmm runs it with each number of `restarts` and each kernel, peers with one start."""

    name: str
    n: int
    d: int
    k: int
    restarts: tuple[int, ...]
    peers: tuple[str, ...] = ("scikit-learn",)
    kernels: tuple[str, ...] = ("auto",)
    covariance_type: str = "full"
    dtype: str = "float32"
    kind: str = "ordinary"

    def smaller(self) -> Case:
        return replace(self, n=self.n // 16)


_ALL_KERNELS = ("shared_feature", "auto", "shared_feature_64", "centred")

CASES = (
    Case("full", 131072, 16, 16, (1, 8), ("scikit-learn", "gmmx", "pomegranate", "tgmm"), _ALL_KERNELS),
    Case("full, small", 131072, 4, 8, (32,), ("scikit-learn", "gmmx"), ("shared_feature", "auto")),
    Case("full, larger", 131072, 24, 10, (4,)),
    Case("full, float64", 131072, 16, 16, (1, 8), dtype="float64"),
    Case("diag", 131072, 16, 16, (1, 8), covariance_type="diag"),
    Case("tied", 131072, 16, 16, (1, 8), covariance_type="tied"),
    Case("spherical", 131072, 16, 16, (1, 8), covariance_type="spherical"),
    Case("full, easy", 131072, 16, 16, (1, 8), kernels=("shared_feature", "auto"), kind="easy"),
    Case("full, small, easy", 131072, 4, 8, (32,), kernels=("shared_feature", "auto"), kind="easy"),
    Case("full, larger, easy", 131072, 24, 10, (4,), kind="easy"),
)


@dataclass(frozen=True)
class Contender:
    """Who runs, how many starts one run advances, and the run: m ↦ seconds of m iterations, and where they led."""

    name: str
    starts: int
    run: Callable[[int], tuple[float, Parameters]]


def rows(case: Case, seed: int = 0) -> Any:
    """Gaussian clusters, (n, d): rows c + A ε.

    Ordinary ones have covariances as they come, A a random square matrix, and centres four spreads apart; easy ones
    overlap, and hardly differ in width from direction to direction.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((case.k, case.d, case.d)) / np.sqrt(case.d)
    if case.kind == "ordinary":
        means, mixing = 4 * rng.standard_normal((case.k, case.d)), noise
    else:
        means, mixing = 2 * rng.standard_normal((case.k, case.d)), np.eye(case.d) + 0.4 * noise
    labels = rng.integers(case.k, size=case.n)
    x = np.empty((case.n, case.d))
    for k in range(case.k):
        mine = labels == k
        x[mine] = means[k] + rng.standard_normal((mine.sum(), case.d)) @ mixing[k].T
    return x.astype(case.dtype)


def starts(case: Case, x: Any, seed: int = 1) -> jaxgmm.Mixture:
    """As many starts as the case's largest run has: means by k-means++, the data's own variances about them."""
    r, k, d = max(case.restarts), case.k, case.d
    means = np.stack([kmeans_plusplus(x[: 1 << 13], k, random_state=seed + i)[0] for i in range(r)])
    variances = x.var(axis=0, dtype=np.float64)
    covariances = {
        "full": np.broadcast_to(np.diag(variances), (r, k, d, d)),
        "tied": np.broadcast_to(np.diag(variances), (r, d, d)),
        "diag": np.broadcast_to(variances, (r, k, d)),
        "spherical": np.full((r, k), variances.mean()),
    }[case.covariance_type]
    return jaxgmm.Mixture.create(
        np.full((r, k), 1 / k), means, covariances, covariance_type=case.covariance_type, dtype=case.dtype
    )


def _jaxgmm(case: Case, x: Any, batch: jaxgmm.Mixture, kernel: str) -> Callable[[int], tuple[float, Parameters]]:
    def run(m: int) -> tuple[float, Parameters]:
        begun = time.perf_counter()
        result = jaxgmm.fit(
            0, x, case.k, covariance_type=case.covariance_type, init=batch, tol=0, max_iter=m,
            reg_covar=REG_COVAR, kernel=kernel, engine="jax",
        )  # fmt: skip
        # A result holds NumPy arrays: when it is there, the work is done.
        taken = time.perf_counter() - begun
        first = result.mixtures[0]
        return taken, (first.weights, first.means, first.covariances)

    return run


@cache
def _process(name: str) -> PeerProcess:
    return PeerProcess(name)


def chosen_kernel(case: Case, x: Any, batch: jaxgmm.Mixture, m: int) -> str:
    """What "auto" settles on within `m` iterations."""
    result = jaxgmm.fit(0, x, case.k, covariance_type=case.covariance_type, init=batch, tol=0, max_iter=m, engine="jax")
    return " and ".join(sorted(set(map(str, result.kernel))))


def contenders(case: Case, x: Any, batch: jaxgmm.Mixture) -> Iterator[Contender]:
    """Everyone who runs the case: peers first."""
    first = batch[0]
    problem = Problem(x, first.weights, first.means, first.covariances, case.covariance_type)
    for name in case.peers:
        peer = _process(name)
        if peer.prepare(problem):
            yield Contender(name, 1, peer.run)
    for r in case.restarts:
        for kernel in case.kernels:
            yield Contender(f"jaxgmm {kernel}", r, _jaxgmm(case, x, batch[:r], kernel))
