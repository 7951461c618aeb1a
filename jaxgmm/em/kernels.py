"""Roads from rows to the same statistics: the fast one by shared features, and the one that holds at any tightness.

`centred` whitens every row by every component. `shared_feature` writes log p as a product with features φ(z) that all
components *and all restarts* share: one wide matrix product for everything, several times faster. What it loses to
rounding grows with κ, the size of the terms that cancel in θ·φ(z): small where z are coordinates near the component
(`rows.frames`), as in cells of their own. `shared_feature_64` takes the products of float32 rows in float64.

Coefficients and sums are carried between coordinates in float64 where there is any: that is work for components and
cells, never for rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxgmm.em.responsibilities import Assign
from jaxgmm.families import Family
from jaxgmm.families import linalg as tri
from jaxgmm.families.namespace import HIGHEST, einsum
from jaxgmm.families.shared_features import SharedFeatures, n_shared_features, shared_features
from jaxgmm.inputs import precision
from jaxgmm.inputs.typing import Array
from jaxgmm.mixture import Mixture, joint_log_prob
from jaxgmm.rows import Chunk, Compensated
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.sums import two_sum

# Where ε·κ is more than this, a component may seem to hold no rows of a cell because its log-density is all rounding.
_BLIND = 0.25
# Then it must be seen to be so many nats away from them, and twice ε·κ more.
_AWAY = 17
# Every so many rows are looked at for that.
_STRIDE = 8


class Kernel(NamedTuple):
    """A road from rows to statistics: `begin` and `end` once a pass, `localise` and `gather` once a cell.

    `localise` makes what `chunk` needs for rows in a frame; `chunk` has that, a `rows.Chunk`, and how responsibilities
    follow from joint log-probabilities; `gather` makes of a cell's sums such as may be added up over cells.
    """

    begin: Callable[[Mixture], Any]
    localise: Callable[[Any, Frame], Any]
    chunk: Callable[[Any, Chunk, Assign], Sums]
    gather: Callable[[Any, Frame, Compensated[Sums]], Compensated[Sums]]
    end: Callable[[Any, Any], Any]
    elements: Callable[[Family, int], int]


class Sums(NamedTuple):
    log_likelihood: Float[Array, ""]
    total_weight: Float[Array, ""]
    rest: Any


class Gathered(NamedTuple):
    """Sums over cells.

    Attributes:
        counts: N_k.
        moments: what `Kernel.end` makes moments of.
        lost: Σ_cells N_k κ_k.
        unseen: Σ κ_k of the cells in which a component's rows might be overlooked.
    """

    counts: Float[Array, " k"]
    moments: Any
    lost: Float[Array, " k"]
    unseen: Float[Array, " k"]


def _weighted(x: Float[Array, " b"], w: Float[Array, " b"]) -> Float[Array, ""]:
    """Σ w x, where a row without weight has no say, whatever its value."""
    return jnp.sum(jnp.where(w > 0, w * x, 0.0))


# ---- coefficients, cell by cell -----------------------------------------------------------------------------


class _Coefficients(NamedTuple):
    """θ and ψ of the components' features, about their own means where rows are mapped.

    Attributes:
        bare: the components, with means 0 where rows are mapped, in the widest dtype.
        means: where they are; None where rows are never mapped.
    """

    bare: Any
    theta: Float[Array, "k f"]
    psi: Float[Array, " g"]
    means: Float[Array, "k d"] | None


def _coefficients(mixture: Mixture) -> _Coefficients:
    wide = precision.widest(mixture.weights.dtype)
    components, weights = jax.tree.map(lambda leaf: leaf.astype(wide), (mixture.components, mixture.weights))
    mapped = components.traits.maps != "none"
    bare = replace(components, means=jnp.zeros_like(components.means)) if mapped else components
    theta = shared_features(bare).natural()
    theta = theta.at[:, 0].add(jnp.log(weights))
    return _Coefficients(bare, theta, bare.common_natural(), components.means if mapped else None)


def _place(held: _Coefficients, frame: Frame) -> tuple[Array, Array]:
    """Of a frame, for every component where its mean is seen from there, and R."""
    assert held.means is not None
    dtype = held.theta.dtype
    if frame.whitener is not None:
        return -held.means, tri.inverse(frame.whitener.astype(dtype))
    if frame.root is None or frame.centre is None:
        return -held.means, jnp.ones(held.means.shape[-1:], dtype)
    return frame.centre.astype(dtype) - held.means, frame.root.astype(dtype)


def _seen_from(held: _Coefficients, frame: Frame) -> tuple[Array, Array]:
    """θ and ψ for rows in a frame."""
    if held.means is None:
        return held.theta, held.psi
    return held.bare.seen_from(held.theta, held.psi, *_place(held, frame))


def _sizes(held: _Coefficients, frame: Frame, theta: Array, psi: Array) -> Float[Array, " k"]:
    """κ: how large the terms are that add up to a log-density, at rows of the frame."""
    features = jnp.mean(abs(held.bare.features(frame.probe)), axis=1).astype(theta.dtype)
    common = jnp.mean(abs(held.bare.common_features(frame.probe)), axis=1).astype(theta.dtype)
    return einsum("kf,f->k", abs(theta), features) + einsum("g,g->", abs(psi), common)


def _judged(
    held: _Coefficients, frame: Frame, counts: Float[Array, " k"], moments: Any, near: Any, eps: float
) -> Gathered:
    """A cell's sums, and what they can have lost.

    Args:
        near: what `_near` made of its rows; None where there are no cells: a component then counts, however few its
            rows seem to be.
        eps: the rounding of the products.
    """
    kappa = _sizes(held, frame, *_seen_from(held, frame)).astype(counts.dtype)
    if near is None:
        return Gathered(counts, moments, counts * kappa, kappa)
    within = (_AWAY + 2 * eps * kappa) ** 2 * near > 1
    return Gathered(counts, moments, counts * kappa, jnp.where(within & (eps * kappa > _BLIND), kappa, 0.0))


def _near(joint: Float[Array, "k b"], log_p: Float[Array, " b"], w: Float[Array, " b"]) -> Float[Array, " k"]:
    """Σ 1 / (1 + Δ²), Δ by how many nats a component is less likely than all together: above 1 / Δ² of the nearest row.

    A sum, so that it can be taken like all others.
    """
    some = slice(None, None, _STRIDE)
    away = log_p[some] - joint[:, some]
    return jnp.sum(jnp.where(w[some] > 0, 1 / (1 + away * away), 0), axis=-1)


# ---- centred ------------------------------------------------------------------------------------------------


class _Centred(NamedTuple):
    """The mixture, and its coefficients for κ; None where there are no shared features."""

    mixture: Mixture
    held: _Coefficients | None


class _Seen(NamedTuple):
    """The mixture as it is seen from where rows come in, and by how much log-densities differ there."""

    mixture: Mixture
    volume: Float[Array, ""] | None


def _centred_begin(mixture: Mixture) -> _Centred:
    return _Centred(mixture, _coefficients(mixture) if isinstance(mixture.components, SharedFeatures) else None)


def _centred_localise(begun: _Centred, frame: Frame) -> _Seen:
    mixture = begun.mixture
    if frame.root is None or frame.centre is None:
        return _Seen(mixture, None)
    dtype = mixture.weights.dtype
    wide = precision.widest(dtype)
    components = jax.tree.map(lambda leaf: leaf.astype(wide), mixture.components)
    centre, root = frame.centre.astype(wide), frame.root.astype(wide)
    inverse, scale = (1 / root, root) if root.ndim == 1 else (tri.inverse(root), jnp.diagonal(root))
    with jax.default_matmul_precision("highest"):
        moved = components.affine(-centre, jnp.ones_like(centre)).affine(jnp.zeros_like(centre), inverse)
    moved, volume = jax.tree.map(lambda leaf: leaf.astype(dtype), (moved, -jnp.sum(jnp.log(scale))))
    return _Seen(Mixture(mixture.weights, moved), volume)


def _centred_chunk(seen: _Seen, rows: Chunk, assign: Assign) -> Sums:
    (mixture, volume), x, w = seen, rows.x, rows.weights
    joint = joint_log_prob(mixture, x)
    r, log_p = assign(joint if volume is None else joint + volume, w, rows.possible)
    # Whitened by the components, rows are the same from wherever they are seen; so are the moments.
    return Sums(_weighted(log_p, w), jnp.sum(w), (jnp.sum(r, axis=1), mixture.components.moments(x, r)))


def _centred_gather(begun: _Centred, frame: Frame, sums: Compensated[Sums]) -> Compensated[Sums]:
    counts, moments = sums.total.rest
    if begun.held is None:
        unknown = jnp.full_like(counts, jnp.inf)
        return _gathered(sums, Gathered(counts, moments, unknown, unknown))
    near = None if frame.root is None else jnp.zeros_like(counts)  # nothing is overlooked
    return _gathered(sums, _judged(begun.held, frame, counts, moments, near, 0.0))


# ---- shared features ----------------------------------------------------------------------------------------


class _Shared(NamedTuple):
    """What `_shared_chunk` needs: coefficients as they are multiplied, and what each component lost to their rounding.

    Of that only what is the same for all rows is made good: else log-densities would jump by it from step to step.
    What all components share is left out of the products (ψ is None), and added to the sum; but not where products have
    more digits than the log-densities that come of them: there it cancels most of them first.
    """

    components: Any
    theta: Float[Array, "k f"]
    psi: Float[Array, " g"] | None
    lost: Float[Array, " k"] | None
    frame: Frame


def _shared_localise(products: Any) -> Callable[[_Coefficients, Frame], _Shared]:
    def localise(held: _Coefficients, frame: Frame) -> _Shared:
        theta, psi = _seen_from(held, frame)
        rounded = theta.astype(_product_dtype(products, frame))
        if products is not None:
            return _Shared(held.bare, rounded, psi.astype(rounded.dtype), None, frame)
        lost = None
        if rounded.dtype != theta.dtype:
            # A component without weight has −∞ among its coefficients, and loses nothing.
            dropped = jnp.where(jnp.isfinite(theta), theta - rounded, 0)
            lost = jnp.sum(dropped * _typical(held, frame), axis=-1).astype(rounded.dtype)
        return _Shared(held.bare, rounded, None, lost, frame)

    return localise


def _typical(held: _Coefficients, frame: Frame) -> Float[Array, "k f"]:
    """Features of rows that a component is likely to hold: at its mean, or in its cell."""
    if held.means is None or frame.root is not None:
        usual = jnp.mean(held.bare.features(frame.probe), axis=1).astype(held.theta.dtype)
        return jnp.broadcast_to(usual, held.theta.shape)
    return held.bare.features(frame.local(held.means.T)).T


def _product_dtype(products: Any, frame: Frame) -> Any:
    return frame.probe.dtype if products is None else precision.widest(frame.probe.dtype)


def _shared_chunk(prepared: _Shared, rows: Chunk, assign: Assign) -> Sums:
    (components, theta, psi, lost, frame), w = prepared, rows.weights
    # Correlations of the data as a whole are taken out here, where a chunk at a time is rounded, and not from the rows,
    # where `centred` would find them rounded too.
    x, dtype = rows.x.astype(theta.dtype), rows.x.dtype
    z = frame.local(x)
    phi, common = components.features(z), components.common_features(z)
    joint = jnp.einsum("kf,fb->kb", theta, phi, precision=HIGHEST)
    if psi is not None:
        joint = joint + einsum("g,gb->b", psi, common)
    joint = joint.astype(dtype) if lost is None else joint + lost[:, None]
    r, log_p = assign(joint, w, rows.possible)
    sums = jnp.einsum("kb,fb->kf", r.astype(theta.dtype), phi, precision=HIGHEST)
    common = einsum("gb,b->g", common, w.astype(theta.dtype))
    near = None if frame.root is None else _near(joint, log_p, w)
    return Sums(_weighted(log_p, w), jnp.sum(w), (sums, common, near))


def _shared_gather(products: Any) -> Callable[[_Coefficients, Frame, Compensated[Sums]], Compensated[Sums]]:
    def gather(held: _Coefficients, frame: Frame, sums: Compensated[Sums]) -> Compensated[Sums]:
        wide = held.theta.dtype
        local, common, near = jax.tree.map(lambda leaf: leaf.astype(wide), sums.total.rest)
        counts = local[:, 0]
        _, psi = _seen_from(held, frame)
        # Large where it is not zero; the error pair would be worth little without what is dropped here.
        shared = None if products is not None else jnp.sum(psi * common).astype(sums.value.log_likelihood.dtype)
        if held.means is not None:
            local, common = held.bare.carried(local, common, *_place(held, frame))
        eps = float(np.finfo(_product_dtype(products, frame)).eps)
        judged = _judged(held, frame, counts, (local, common), near, eps)
        return _gathered(sums, judged, shared)

    return gather


def _shared_end(held: _Coefficients, moments: Any) -> Any:
    return held.bare.moments_from_features(*moments)


def _shared_elements(components: Family, batch: int) -> int:
    return batch * components.n_components + n_shared_features(components)


def _gathered(sums: Compensated[Sums], judged: Gathered, shared: Float[Array, ""] | None = None) -> Compensated[Sums]:
    """`judged` in place of a cell's own sums, and `shared` added to its log-likelihood."""
    value, error = sums.value, sums.error
    high = value.log_likelihood
    high, low = (high, jnp.zeros_like(high)) if shared is None else two_sum(high, shared)
    nothing = jax.tree.map(jnp.zeros_like, judged)
    return Compensated(
        Sums(high, value.total_weight, judged),
        Sums(error.log_likelihood + low, error.total_weight, nothing),
    )


def _by_features(products: Any) -> Kernel:
    return Kernel(
        begin=_coefficients,
        localise=_shared_localise(products),
        chunk=_shared_chunk,
        gather=_shared_gather(products),
        end=_shared_end,
        elements=_shared_elements,
    )


#: from the fastest to the one that holds at any tightness
KERNELS: dict[str, Kernel] = {
    "shared_feature": _by_features(None),
    "shared_feature_64": _by_features(np.float64),
    "centred": Kernel(
        begin=_centred_begin,
        localise=_centred_localise,
        chunk=_centred_chunk,
        gather=_centred_gather,
        end=lambda begun, moments: moments,
        elements=lambda components, batch: 2 * batch * components.n_components * components.n_features,
    ),
}
