"""Two roads from rows to the same statistics.

`centred` whitens every row by every component, and holds at any tightness. `shared_feature` writes log p as a product
with features φ(x) that all components *and all restarts* share: one wide matrix product for everything, several times
faster, but its rounding error grows with `SharedFeatures.conditioning`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from jaxgmm.em.responsibilities import Assign
from jaxgmm.families import Family
from jaxgmm.families.shared_features import SharedFeatures, n_shared_features, shared_features
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture, joint_log_prob
from jaxgmm.rows import Chunk

HIGHEST = lax.Precision.HIGHEST


class Kernel(NamedTuple):
    """A road from rows to statistics: `prepare` once, `chunk` per chunk of rows, `finish` once.

    `chunk` has what `prepare` made, a `rows.Chunk`, and how responsibilities follow from joint log-probabilities.
    """

    prepare: Callable[[Mixture, Float[Array, "d d"] | None], Any]
    chunk: Callable[[Any, Chunk, Assign], Sums]
    finish: Callable[[Any, Any], tuple[Float[Array, " k"], Float[Array, ""], Any]]
    elements: Callable[[Family, int], int]


class Sums(NamedTuple):
    log_likelihood: Float[Array, ""]
    total_weight: Float[Array, ""]
    rest: Any


def _weighted(x: Float[Array, " b"], w: Float[Array, " b"]) -> Float[Array, ""]:
    """Σ w x, where a row without weight has no say, whatever its value."""
    return jnp.sum(jnp.where(w > 0, w * x, 0.0))


# ---- centred ------------------------------------------------------------------------------------------------


def _centred_chunk(mixture: Mixture, rows: Chunk, assign: Assign) -> Sums:
    x, w = rows.x, rows.weights
    r, log_p = assign(joint_log_prob(mixture, x), w, rows.possible)
    return Sums(_weighted(log_p, w), jnp.sum(w), (jnp.sum(r, axis=1), mixture.components.moments(x, r)))


def _centred_finish(mixture: Mixture, rest: Any) -> tuple[Any, Any, Any]:
    counts, moments = rest
    return counts, jnp.zeros((), counts.dtype), moments


# ---- shared features ----------------------------------------------------------------------------------------


class _Shared(NamedTuple):
    components: SharedFeatures
    theta: Float[Array, "k f"]
    whitener: Float[Array, "d d"] | None


def uncorrelated(components: Family, whitener: Float[Array, "d d"] | None) -> Family:
    """The components of W x. Their whitened coordinates y are the same, and so are the moments."""
    if whitener is None:
        return components
    with jax.default_matmul_precision("highest"):
        return components.affine(jnp.zeros_like(whitener[0]), whitener)


def _shared_prepare(mixture: Mixture, whitener: Float[Array, "d d"] | None) -> _Shared:
    components = shared_features(uncorrelated(mixture.components, whitener))
    volume = 0.0 if whitener is None else jnp.sum(jnp.log(jnp.diagonal(whitener)))
    theta = components.natural().at[:, 0].add(jnp.log(mixture.weights) + volume)
    return _Shared(components, theta, whitener)


def _shared_chunk(prepared: _Shared, rows: Chunk, assign: Assign) -> Sums:
    (components, theta, whitener), x, w = prepared, rows.x, rows.weights
    # Correlations of the data as a whole would be conditioning lost; they are taken out here, where a chunk at a time
    # is rounded, and not from the rows, where `centred` would find them rounded too.
    x = x if whitener is None else jnp.matmul(whitener, x, precision=HIGHEST)
    phi = components.features(x)
    r, log_p = assign(jnp.einsum("kf,fb->kb", theta, phi, precision=HIGHEST), w, rows.possible)
    sums = jnp.einsum("kb,fb->kf", r, phi, precision=HIGHEST)
    common = jnp.einsum("gb,b->g", components.common_features(x), w, precision=HIGHEST)
    return Sums(_weighted(log_p, w), jnp.sum(w), (sums, common))


def _shared_finish(prepared: _Shared, rest: Any) -> tuple[Any, Any, Any]:
    sums, common = rest
    components = prepared.components
    shared = jnp.sum(components.common_natural() * common)
    return sums[:, 0], shared, components.moments_from_features(sums, common)


def _shared_elements(components: Family, batch: int) -> int:
    return batch * components.n_components + n_shared_features(components)


KERNELS: dict[str, Kernel] = {
    "shared_feature": Kernel(_shared_prepare, _shared_chunk, _shared_finish, _shared_elements),
    "centred": Kernel(
        lambda mixture, _: mixture,
        _centred_chunk,
        _centred_finish,
        lambda components, batch: 2 * batch * components.n_components * components.n_features,
    ),
}
