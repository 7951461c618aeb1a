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
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jaxgmm.em.coefficients import Coefficients, Within, coefficients, seen_in
from jaxgmm.em.responsibilities import Assign
from jaxgmm.families import Family
from jaxgmm.families import linalg as tri
from jaxgmm.families.gaussian import filled_like
from jaxgmm.families.namespace import combined, einsum, namespace, summed
from jaxgmm.families.shared_features import SharedFeatures, n_shared_features
from jaxgmm.inputs import precision, trees
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.typing import Array, Float
from jaxgmm.mixture import Mixture, joint_log_prob
from jaxgmm.rows import Chunk, Compensated
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.sums import two_sum

# A log-density errs by less than so many ε·κ nats (a third of one as a rule), and what a component seems to hold of a
# cell by the exponential of that.
_ERRS = 2
# Where ε·κ is more than this, that tells nothing any more,
_BLIND = 4
# and a component must be seen to be so many nats away from the cell's rows, and `_ERRS` ε·κ more.
_AWAY = 17
# Every so many rows are looked at for that.
_STRIDE = 8


class Kernel(NamedTuple):
    """A road from rows to statistics: `begin` and `end` once a pass, `localise` and `gather` once a cell.

    `localise` makes what `chunk` needs for rows in a frame; `chunk` has that, a `rows.Chunk`, and how responsibilities
    follow from joint log-probabilities; `gather` has it, too, and makes of a cell's sums such as may be added up over
    cells.
    """

    begin: Callable[[Mixture], Any]
    localise: Callable[[Any, Frame], Any]
    chunk: Callable[[Any, Chunk, Assign], Sums]
    gather: Callable[[Any, Compensated[Sums]], Compensated[Sums]]
    end: Callable[[Any, Any], Any]
    elements: Callable[[Family, int], int]


class Sums(NamedTuple):
    log_likelihood: Float[Array, "*r"]
    total_weight: Float[Array, "*#r"]
    rest: Any


class Gathered(NamedTuple):
    """Sums over cells.

    Attributes:
        counts: N_k.
        moments: what `Kernel.end` makes moments of.
        lost: Σ_cells N_k κ_k, N_k the most that a component can hold there.
        unseen: Σ κ_k of the cells in which a component's rows might be overlooked.
    """

    counts: Float[Array, "*r k"]
    moments: Any
    lost: Float[Array, "*r k"]
    unseen: Float[Array, "*r k"]


def _weighted(x: Float[Array, "*r b"], w: Float[Array, "*#r b"]) -> Float[Array, "*r"]:
    """Σ w x, where a row without weight has no say, whatever its value."""
    xp = namespace(x, w)
    return xp.sum(xp.where(w > 0, w * x, 0.0), axis=-1)


# ---- what was lost -----------------------------------------------------------------------------------------


def _judged(kappa: Float[Array, "*r k"], counts: Float[Array, "*r k"], moments: Any, near: Any, eps: float) -> Gathered:
    """A cell's sums, and what they can have lost.

    Args:
        near: what `_near` made of its rows; None where there are no cells: a component then counts, however few its
            rows seem to be.
        eps: the rounding of the products.
    """
    kappa = kappa.astype(counts.dtype)
    if near is None:
        return Gathered(counts, moments, counts * kappa, kappa)
    most = counts * jnp.exp(_ERRS * jnp.minimum(eps * kappa, _BLIND))
    within = (_AWAY + _ERRS * eps * kappa) ** 2 * near > 1
    return Gathered(counts, moments, most * kappa, jnp.where(within & (eps * kappa > _BLIND), kappa, 0.0))


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
    held: Coefficients | None


class _Seen(NamedTuple):
    """The mixture as it is seen from where rows come in, and by how much log-densities differ there.

    Attributes:
        volume: None where rows come as they are.
        kappa: κ of each component; None where there are no shared features.
    """

    mixture: Mixture
    volume: Float[Array, ""] | None
    kappa: Float[Array, " k"] | None


def _centred_begin(mixture: Mixture) -> _Centred:
    return _Centred(mixture, coefficients(mixture) if isinstance(mixture.components, SharedFeatures) else None)


def _centred_localise(begun: _Centred, frame: Frame) -> _Seen:
    mixture = begun.mixture
    kappa = None if begun.held is None else seen_in(begun.held, frame).kappa
    if frame.root is None or frame.centre is None:
        return _Seen(mixture, None, kappa)
    dtype = mixture.weights.dtype
    wide = precision.widest(dtype)
    components = trees.map(lambda leaf: leaf.astype(wide), mixture.components)
    centre, root = frame.centre.astype(wide), frame.root.astype(wide)
    inverse, scale = (1 / root, root) if root.ndim == 1 else (tri.inverse(root), jnp.diagonal(root))
    with jax.default_matmul_precision("highest"):
        moved = components.affine(-centre, jnp.ones_like(centre)).affine(jnp.zeros_like(centre), inverse)
    moved, volume = trees.map(lambda leaf: leaf.astype(dtype), (moved, -jnp.sum(jnp.log(scale))))
    return _Seen(Mixture(mixture.weights, moved), volume, kappa)


def _centred_chunk(seen: _Seen, rows: Chunk, assign: Assign) -> Sums:
    (mixture, volume, _), x, w = seen, rows.x, rows.weights
    joint, xp = joint_log_prob(mixture, x), namespace(x, w)
    r, log_p = assign(joint if volume is None else joint + volume, w, rows.possible)
    # Whitened by the components, rows are the same from wherever they are seen; so are the moments.
    moments = mixture.components.moments(x, r)
    return Sums(_weighted(log_p, w), xp.sum(w, axis=-1), (xp.sum(r, axis=-1), moments))


def _centred_gather(seen: _Seen, sums: Compensated[Sums]) -> Compensated[Sums]:
    counts, moments = sums.total.rest
    if seen.kappa is None:
        unknown = filled_like(counts, np.inf)
        return _gathered(sums, Gathered(counts, moments, unknown, unknown))
    near = None if seen.volume is None else filled_like(counts, 0.0)  # nothing is overlooked
    return _gathered(sums, _judged(seen.kappa, counts, moments, near, 0.0))


# ---- shared features ----------------------------------------------------------------------------------------


class _Shared(NamedTuple):
    """What `_shared_chunk` needs: coefficients as they are multiplied, and what each component lost to their rounding.

    Of that only what is the same for all rows is made good: else log-densities would jump by it from step to step.
    What all components share is left out of the products (ψ is None), and added to the sum; but not where products have
    more digits than the log-densities that come of them: there it cancels most of them first.
    """

    components: Any
    theta: Float[Array, "*r k f"]
    psi: Float[Array, "*r g"] | None
    lost: Float[Array, " k"] | None
    frame: Frame
    within: Within


def _shared_localise(in_64: bool, held: Coefficients, frame: Frame) -> _Shared:
    within, dtype = seen_in(held, frame), frame.probe.dtype
    theta, dtype = within.theta, precision.widest(dtype) if in_64 else dtype
    rounded = theta.astype(dtype)
    if in_64:
        return _Shared(held.bare, rounded, within.psi.astype(dtype), None, frame, within)
    lost = None
    if rounded.dtype != theta.dtype:
        # A component without weight has −∞ among its coefficients, and loses nothing.
        dropped = jnp.where(jnp.isfinite(theta), theta - rounded, 0)
        lost = jnp.sum(dropped * _typical(held, frame), axis=-1).astype(dtype)
    return _Shared(held.bare, rounded, None, lost, frame, within)


def _typical(held: Coefficients, frame: Frame) -> Float[Array, "k f"]:
    """Features of rows that a component is likely to hold: at its mean, or in its cell."""
    if held.means is None or frame.root is not None:
        usual = jnp.mean(held.bare.features(frame.probe), axis=1).astype(held.theta.dtype)
        return jnp.broadcast_to(usual, held.theta.shape)
    return held.bare.features(frame.local(held.means.T)).T


def _shared_chunk(prepared: _Shared, rows: Chunk, assign: Assign) -> Sums:
    (components, theta, psi, lost, frame, _), w = prepared, rows.weights
    # Correlations of the data as a whole are taken out here, where a chunk at a time is rounded, and not from the rows,
    # where `centred` would find them rounded too.
    x, dtype = rows.x.astype(theta.dtype, copy=False), rows.x.dtype
    z = frame.local(x)
    phi, common = components.features(z), components.common_features(z)
    joint = combined(theta, phi)
    if psi is not None:
        joint = joint + einsum("...g,gb->...b", psi, common)[..., None, :]
    joint = joint.astype(dtype, copy=False) if lost is None else joint + lost[:, None]
    r, log_p = assign(joint, w, rows.possible)
    sums = summed(r.astype(theta.dtype, copy=False), phi)
    common = einsum("gb,...b->...g", common, w.astype(theta.dtype))
    near = None if frame.root is None else _near(joint, log_p, w)
    return Sums(_weighted(log_p, w), namespace(w).sum(w, axis=-1), (sums, common, near))


def _shared_gather(prepared: _Shared, sums: Compensated[Sums]) -> Compensated[Sums]:
    within = prepared.within
    local, common, near = sums.total.rest
    if local.dtype != within.theta.dtype:
        local, common, near = trees.map(lambda leaf: leaf.astype(within.theta.dtype), (local, common, near))
    counts, shared = local[..., 0], None
    common = namespace(common).broadcast_to(common, within.psi.shape)  # the same for all restarts, but for folds
    if prepared.psi is None:
        # Large where it is not zero; the error pair would be worth little without what is dropped here.
        each = namespace(common).sum(within.psi * common, axis=-1)
        shared = each.astype(sums.value.log_likelihood.dtype)
    if within.place is not None:
        local, common = prepared.components.carried(local, common, *within.place)
    eps = float(np.finfo(prepared.theta.dtype).eps)
    return _gathered(sums, _judged(within.kappa, counts, (local, common), near, eps), shared)


def _shared_end(held: Coefficients, moments: Any) -> Any:
    return held.bare.moments_from_features(*moments)


def _shared_elements(components: Family, batch: int) -> int:
    return batch * components.n_components + n_shared_features(components)


def _gathered(sums: Compensated[Sums], judged: Gathered, shared: Float[Array, "*r"] | None = None) -> Compensated[Sums]:
    """`judged` in place of a cell's own sums, and `shared` added to its log-likelihood."""
    value, error = sums.value, sums.error
    high = value.log_likelihood
    high, low = (high, filled_like(high, 0.0)) if shared is None else two_sum(high, shared)
    nothing = trees.map(namespace(high).zeros_like, judged)
    return Compensated(
        Sums(high, value.total_weight, judged),
        Sums(error.log_likelihood + low, error.total_weight, nothing),
    )


def _by_features(in_64: bool) -> Kernel:
    return Kernel(
        begin=coefficients,
        localise=partial(_shared_localise, in_64),
        chunk=_shared_chunk,
        gather=_shared_gather,
        end=_shared_end,
        elements=_shared_elements,
    )


#: from the fastest to the one that holds at any tightness
KERNELS: dict[str, Kernel] = {
    "shared_feature": _by_features(in_64=False),
    "shared_feature_64": _by_features(in_64=True),
    "centred": Kernel(
        begin=_centred_begin,
        localise=_centred_localise,
        chunk=_centred_chunk,
        gather=_centred_gather,
        end=lambda begun, moments: moments,
        elements=lambda components, batch: 2 * batch * components.n_components * components.n_features,
    ),
}
