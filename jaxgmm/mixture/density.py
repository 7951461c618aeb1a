"""Densities and responsibilities of rows: pure functions, for `jit` and for everyone else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from jaxgmm.families import Family
from jaxgmm.inputs.typing import Array


class Weighted(Protocol):
    """Components with weights: all that a density needs of a mixture."""

    @property
    def weights(self) -> Float[Array, "*r k"]: ...

    @property
    def components(self) -> Family: ...


def joint_log_prob(mixture: Weighted, x: Float[Array, "d b"]) -> Float[Array, "k b"]:
    """log π_k p(x_n | k) in nats, by the accurate road. Pure; `x` has rows minor."""
    return mixture.components.log_prob(x) + jnp.log(mixture.weights)[:, None]


def posterior(
    joint: Float[Array, "k b"], w: Float[Array, " b"] | float = 1.0, possible: Bool[Array, "k b"] | None = None
) -> tuple[Float[Array, "k b"], Float[Array, " b"]]:
    """Responsibilities w_n p(k | x_n) and log p(x_n), from log π_k p(x_n | k).

    Where only some components are `possible`, both are given that: p(k | x_n, label) and log p(x_n, label).
    """
    if possible is not None:
        joint = jnp.where(possible, joint, -jnp.inf)
    largest = jnp.max(joint, axis=0)
    # Where every component says −∞ the row is impossible: the subtraction must not make NaN of it, and it is shared
    # out evenly.
    impossible = largest == -jnp.inf
    even = jnp.where(impossible, 1.0, 0.0) * (1.0 if possible is None else possible)
    shares = jnp.exp(joint - jnp.where(impossible, 0.0, largest)) + even
    total = jnp.sum(shares, axis=0)
    return shares * (w / total), largest + jnp.log(total)


#: what can be asked of rows, from log π_k p(x_n | k): results with rows last
ANSWERS: dict[str, Callable[[Float[Array, "k b"]], Array]] = {
    "joint_log_prob": lambda joint: joint,
    "log_density": lambda joint: posterior(joint)[1],
    "responsibilities": lambda joint: posterior(joint)[0],
    "labels": lambda joint: jnp.argmax(joint, axis=0),
    "entropy": lambda joint: jnp.sum(jax.scipy.special.entr(posterior(joint)[0]), axis=0),
}
