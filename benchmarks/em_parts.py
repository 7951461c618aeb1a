"""Where an EM iteration's time goes, and how far that is from what the machine's matrix product can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from common import interleaved

import jaxgmm
from jaxgmm.em import pass_chunk
from jaxgmm.mixture import posterior
from jaxgmm.rows import ArrayRows

HIGHEST = jax.lax.Precision.HIGHEST

#: the side of the square product whose rate is the yardstick
SIDE = 2048
_PRODUCTS = 4
#: operations of one call of `sgemm`
PRODUCT_OPERATIONS = 2.0 * SIDE**3 * _PRODUCTS

PARTS = ("features", "first product", "softmax", "second product")


def n_features(d: int) -> int:
    """F: how many features 1, x, xxᵀ a full covariance needs."""
    return (d + 1) * (d + 2) // 2


def needed_operations(n: int, d: int, k: int, restarts: int) -> float:
    """Floating-point operations the two products of one iteration need: 4·N·F·K·R."""
    return 4.0 * n * n_features(d) * k * restarts


def sgemm() -> Callable[[], Any]:
    """A few float32 products of squares of side `SIDE`, on all cores."""
    left, right = (jax.random.normal(key, (SIDE, SIDE), jnp.float32) for key in jax.random.split(jax.random.key(0)))
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=HIGHEST))
    return lambda: [product(left, right).block_until_ready() for _ in range(_PRODUCTS)]


def _reusing(function: Callable[..., Any], *example: Any) -> Callable[..., Any]:
    """`function`, compiled to write each result where its last one stood, as a loop within a program does."""
    compiled = jax.jit(lambda _, *inputs: function(*inputs), donate_argnums=0, keep_unused=True)
    place = jax.jit(function)(*example)

    def call(*inputs: Any) -> Any:
        nonlocal place
        place = jax.block_until_ready(compiled(place, *inputs))
        return place

    return call


def parts(x: Any, batch: jaxgmm.Mixture) -> dict[str, Callable[[], Any]]:
    """The parts of one shared-feature iteration over `x`, each run alone, chunk by chunk, as large as in a fit.

    Every part writes its result to memory. Where the compiler fuses two of them the parts add up to more than the
    whole.
    """
    laid = ArrayRows.from_array(jnp.asarray((x - x.mean(axis=0)) / x.std(axis=0)))
    mixtures = jax.tree.map(jnp.asarray, batch)
    chunk = pass_chunk(mixtures, laid, "shared_feature")
    family = type(mixtures.components)
    r, k = mixtures.weights.shape

    pieces = [laid.x[:, i : i + chunk] for i in range(0, laid.n_slots - chunk + 1, chunk)]
    theta = jax.jit(jax.vmap(lambda c: c.natural()))(mixtures.components).reshape(r * k, -1)
    phi = jax.jit(family.features)(pieces[0])
    product = lambda theta, phi: jnp.einsum("gf,fb->gb", theta, phi, precision=HIGHEST)  # noqa: E731
    joint = jax.jit(product)(theta, phi).reshape(r, k, -1)
    shares = jax.jit(jax.vmap(posterior))(joint)[0].reshape(r * k, -1)

    features = _reusing(family.features, pieces[0])
    first = _reusing(product, theta, phi)
    softmax = _reusing(jax.vmap(posterior), joint)
    second = _reusing(lambda shares, phi: jnp.einsum("gb,fb->gf", shares, phi, precision=HIGHEST), shares, phi)
    return {
        "features": lambda: [features(piece) for piece in pieces],
        "first product": lambda: [first(theta, phi) for _ in pieces],
        "softmax": lambda: [softmax(joint) for _ in pieces],
        "second product": lambda: [second(shares, phi) for _ in pieces],
    }


def breakdown(x: Any, batch: jaxgmm.Mixture, iteration: Callable[[], float], repeats: int) -> dict[str, list[float]]:
    """Seconds of `PARTS`, of "sgemm" and of the "whole iteration", round by round, all in turn.

    Args:
        iteration: runs a fit and returns seconds per iteration.
    """
    functions: Mapping[str, Callable[[], Any]] = {"sgemm": sgemm(), **parts(x, batch)}
    for function in functions.values():
        function()
    whole: list[float] = []
    taken = interleaved({**functions, "whole iteration": lambda: whole.append(iteration())}, repeats)
    return taken | {"whole iteration": whole}
