"""Seconds of one EM step of all restarts, for chunks of several sizes and products of several precisions.

Beside each stand, measured in the same run, the product of the step's own shape and a copy of its rows.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gpu.report import Report
from gpu.yardsticks import copy_rate, product_rate, timed
from jaxgmm import Mixture, em
from jaxgmm.families.namespace import combined
from jaxgmm.rows import ArrayRows
from jaxgmm.rows.frames import Frame

#: what the products of a step are made in; first what jaxgmm's are
PRECISIONS = {"HIGHEST": lax.Precision.HIGHEST, "TF32_TF32_F32_X3": lax.DotAlgorithmPreset.TF32_TF32_F32_X3}
#: rows at a time; None is what jaxgmm chooses
CHUNKS, _QUICK_CHUNKS = (None, 4096, 16384, 65536), (None, 4096)
#: rows of the product beside a step, and bytes of the copy: more than caches hold
_PRODUCT_ROWS, _COPY_BYTES = 65536, 1 << 29


@dataclass(frozen=True)
class Shape:
    """N rows of D features, and R restarts of K components."""

    n: int
    d: int
    k: int
    r: int

    def __str__(self) -> str:
        return f"N {self.n}, D {self.d}, K {self.k}, R {self.r}"

    @property
    def n_features(self) -> int:
        """F, of a full covariance."""
        return (self.d + 1) * (self.d + 2) // 2


SHAPES, _QUICK = (Shape(10**6, 16, 16, 32), Shape(10**6, 4, 8, 256), Shape(10**6, 32, 16, 200)), (Shape(8192, 3, 2, 4),)


# ---- one step -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def products_in(precision: Any) -> Iterator[None]:
    """Within it what is traced makes the shared-feature kernel's products in `precision`.

    Those over rows, that is: what is left is too small to matter to the time, and would lose its accuracy.
    """
    module: Any = sys.modules[combined.__module__]
    kept = module.PRODUCTS
    module.PRODUCTS = precision
    try:
        yield
    finally:
        module.PRODUCTS = kept


def fresh_step(chunk: int | None) -> Any:
    """(mixtures, rows) ↦ (mixtures a step further, log-likelihoods of those given); a new function each time.

    What `loop.block` does between two looks at statuses. New, because JAX does not trace again what it has traced.
    """

    def step(mixtures: Mixture, rows: ArrayRows) -> Any:
        statistics = em.e_step(mixtures, rows, kernel="shared_feature", chunk=chunk)
        ridge = jnp.full(rows.n_features, 1e-3, rows.x.dtype)
        moved = jax.vmap(lambda mixture, sums: em.m_step(mixture, sums, ridge))(mixtures, statistics)
        return moved, (statistics.log_likelihood, statistics.log_likelihood_error)

    return jax.jit(step)


@partial(jax.jit, static_argnames="shape")
def _rows(key: Any, shape: Shape) -> Any:
    """Overlapping clusters of correlated features, (d, n)."""
    centres, mixing, labels, noise = jax.random.split(key, 4)
    means = 2 * jax.random.normal(centres, (shape.d, shape.k))
    turn = jnp.eye(shape.d) + 0.4 * jax.random.normal(mixing, (shape.d, shape.d)) / np.sqrt(shape.d)
    picked = jnp.take(means, jax.random.randint(labels, (shape.n,), 0, shape.k), axis=1)
    return jnp.matmul(turn, picked + jax.random.normal(noise, (shape.d, shape.n)), precision="highest")


def problem(shape: Shape) -> tuple[Mixture, ArrayRows]:
    """Rows on the device as a fit lays them out, and starts at rows, with the data's own covariance."""
    x = _rows(jax.random.key(0), shape)
    some = np.asarray(x[:, : 1 << 16], np.float64)
    covariance = np.cov(some)
    whitener = jnp.asarray(np.linalg.inv(np.linalg.cholesky(covariance)), jnp.float32)
    total, n = jnp.asarray(shape.n, jnp.float32), jnp.asarray(shape.n, jnp.int32)
    rng = np.random.default_rng(1)
    means = some.T[rng.integers(some.shape[1], size=(shape.r, shape.k))]
    covariances = np.broadcast_to(covariance, (shape.r, shape.k, shape.d, shape.d))
    starts = Mixture.create(np.full(means.shape[:2], 1 / shape.k), means, covariances, dtype="float32")
    return jax.device_put(starts), ArrayRows(x, jnp.ones(shape.n, jnp.float32), total, n, Frame.of_all(x, whitener))


def a_step(mixtures: Mixture, rows: ArrayRows, chunk: int | None, precision: Any) -> dict[str, Any]:
    """Times one, compilation apart."""
    begun = time.perf_counter()
    with products_in(precision):
        compiled = fresh_step(chunk).lower(mixtures, rows).compile()
    compile_seconds = time.perf_counter() - begun
    high, low = jax.device_get(compiled(mixtures, rows)[1])
    return {
        "chunk": em.pass_chunk(mixtures, rows, "shared_feature") if chunk is None else chunk,
        "ms": timed(lambda: compiled(mixtures, rows)).scaled(1e3).json(),
        "compile_seconds": compile_seconds,
        "scratch_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "log_likelihoods": (high.astype(np.float64) + low) / rows.x.shape[1],
    }


# ---- all of them --------------------------------------------------------------------------------------------


class Stand:
    """A shape, what is measured beside its steps, and the log-likelihoods that they should have.

    Args:
        least: bytes of the copy.
    """

    def __init__(self, shape: Shape, least: int) -> None:
        self.shape, self.least = shape, least
        self.problem: tuple[Mixture, ArrayRows] | None = None
        self.copied: float | None = None
        self.rates: dict[str, float] = {}
        self.truth: Any = None

    def lay_out(self) -> dict[str, Any]:
        self.problem = problem(self.shape)
        self.copied = copy_rate(self.problem[1].x, self.least)
        return {"copy_bytes": self.copied, "found": f"{self.copied / 1e9:.0f} GB/s"}

    def product(self, name: str) -> dict[str, Any]:
        """The first of a step's two, (R·K, F) × (F, b)."""
        shape = self.shape
        left, right = shape.r * shape.k, min(_PRODUCT_ROWS, shape.n)
        self.rates[name] = product_rate(left, shape.n_features, right, PRECISIONS[name])
        return {"product_flops": self.rates[name], "found": f"{self.rates[name] / 1e12:.2f} TFLOP/s"}

    def step(self, name: str, chunk: int | None) -> dict[str, Any]:
        """A step's figures beside those of its yardsticks, as far as there are any."""
        if self.problem is None:
            raise RuntimeError("the rows could not be laid out")
        done = a_step(*self.problem, chunk, PRECISIONS[name])
        each = done.pop("log_likelihoods")
        spent, array = done["ms"]["median"] / 1e3, float(self.shape.n * self.shape.k * self.shape.r)
        if name in self.rates:
            rate = self.rates[name]
            done |= {"product_flops": rate, "share_of_product": 4 * array * self.shape.n_features / rate / spent}
        if self.copied is not None:
            done |= {"copy_bytes": self.copied, "crossings": spent * self.copied / (4 * array)}
        if chunk is None and name == next(iter(PRECISIONS)):
            self.truth = each
        if self.truth is not None:
            done["nats_off"] = float(np.max(np.abs(each - self.truth)))
        return done


def run(report: Report, quick: bool) -> None:
    """All shapes, chunks and precisions."""
    attempt = partial(report.attempt, "speed")
    for shape in _QUICK if quick else SHAPES:
        stand = Stand(shape, least=0 if quick else _COPY_BYTES)
        attempt(f"{shape}: a copy of the rows", stand.lay_out)
        for name in PRECISIONS:
            attempt(f"{shape}, {name}: the product", partial(stand.product, name))
            for chunk in _QUICK_CHUNKS if quick else CHUNKS:
                attempt(f"{shape}, {name}, {'own' if chunk is None else chunk}", partial(stand.step, name, chunk))
