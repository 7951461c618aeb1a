"""Densities and responsibilities of rows: pure functions, for `jit` and for everyone else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from jaxgmm.families import Family
from jaxgmm.families.namespace import entr, namespace, quiet
from jaxgmm.inputs.typing import Array, Bool, Float


class Weighted(Protocol):
    """Components with weights: all that a density needs of a mixture."""

    @property
    def weights(self) -> Float[Array, "*r k"]: ...

    @property
    def components(self) -> Family: ...


@quiet
def joint_log_prob(mixture: Weighted, x: Float[Array, "d b"]) -> Float[Array, "*r k b"]:
    """log π_k p(x_n | k) in nats, by the accurate road. Pure, in JAX or NumPy; `x` has rows minor."""
    return mixture.components.log_prob(x) + namespace(mixture.weights, x).log(mixture.weights)[..., None]


@quiet
def posterior(
    joint: Float[Array, "*r k b"], w: Float[Array, "*#r b"] | float = 1.0, possible: Bool[Array, "k b"] | None = None
) -> tuple[Float[Array, "*r k b"], Float[Array, "*r b"]]:
    """Responsibilities w_n p(k | x_n) and log p(x_n), from log π_k p(x_n | k).

    Where only some components are `possible`, both are given that: p(k | x_n, label) and log p(x_n, label).
    """
    xp = namespace(joint)
    if possible is not None:
        joint = xp.where(possible, joint, -xp.inf)
    largest = xp.max(joint, axis=-2)
    # Where every component says −∞ the row is impossible: the subtraction must not make NaN of it, and it is shared
    # out evenly.
    impossible = largest == -xp.inf
    if xp is np and not impossible.any():  # in place: small as arrays are, making them costs as much as filling them
        shares = joint - largest[..., None, :]
        np.exp(shares, out=shares)
        total = shares.sum(axis=-2)
        shares *= (w / total)[..., None, :]
        return shares, largest + np.log(total)
    even = impossible[..., None, :] & (True if possible is None else possible)
    shares = xp.exp(joint - xp.where(impossible, 0.0, largest)[..., None, :]) + even.astype(joint.dtype)
    total = xp.sum(shares, axis=-2)
    return shares * (w / total)[..., None, :], largest + xp.log(total)


#: what can be asked of rows, from log π_k p(x_n | k): results with rows last
ANSWERS: dict[str, Callable[[Float[Array, "k b"]], Array]] = {
    "joint_log_prob": lambda joint: joint,
    "log_density": lambda joint: posterior(joint)[1],
    "responsibilities": lambda joint: posterior(joint)[0],
    "labels": lambda joint: namespace(joint).argmax(joint, axis=-2),
    "entropy": lambda joint: namespace(joint).sum(entr(posterior(joint)[0]), axis=-2),
}
