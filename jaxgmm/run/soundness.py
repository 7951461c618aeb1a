"""What is wrong with a mixture, component by component: while it runs, and as an answer.

A restart that runs has a fault where a component lost its rows, or is a spike on far fewer than the others have. As an
answer a mixture is unsound where it owes its likelihood to the ridge, to fewer rows than span a component, or to values
that repeat or are rounded: how high that is says nothing of the rows then, and what it owes is taken off.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxgmm.em.penalty import Pinned
from jaxgmm.families.hosting import on_numpy
from jaxgmm.families.namespace import namespace, quiet
from jaxgmm.inputs import precision
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.mixture import Mixture
from jaxgmm.problem.resolution import Widths
from jaxgmm.run.status import Status

# A handful: fewer rows than this many times what its parameters need to be more than a spike.
_HANDFUL = 2
# But where all components must do with a handful, one is no spike unless it has this much less than the others; and
# where the rows cannot span them all it is what any component looks like.
_FEWER = 0.25
# In some direction such a component is nothing but ridge when Σ⁻¹ times the ridge has a trace above this.
_RIDGE = 0.5
# A handful of rows is suspect when this much narrower than the mixture's components usually are.
_NARROW = 0.1
_TINY = np.finfo(np.float64).tiny


class Faults(NamedTuple):
    """What is wrong with one mixture.

    Attributes:
        status: RUNNING where nothing is, else DEGENERATE or NON_FINITE.
        collapsed: (k,), the components that lost their rows or collapsed onto a few of them.
    """

    status: Int[Array, "*r"]
    collapsed: Bool[Array, "*r k"]


@quiet
def faults(
    mixture: Mixture, log_likelihood: Float[Array, "*r"], lenient: Bool[Array, "*r"], *, floor: Float[Array, " d"],
    n_rows: Int[Array, "*r"], keep: Bool[Array, ""] | bool, present: Bool[Array, "*#r k"] | bool = True,
    pinned: Pinned | None = None,
) -> Faults:  # fmt: skip
    """The faults of `mixture`; with `keep` collapsed components are none as long as everything is finite.

    Of NumPy's arrays mixtures may have a leading axis, which `log_likelihood`, `lenient` and `n_rows` then have, too.

    Args:
        lenient: whether a component may be a handful of rows with hardly any width but the ridge's.
        floor: that width per feature; 0 where the data are no wider themselves.
        present: which components there are: nothing is wrong with the others.
        pinned: what is held: a width that was given is no collapse, and a component of which all but the weight was
            given may come to have no rows.
    """
    weights, components = mixture.weights, mixture.components
    xp = namespace(weights, components.means, log_likelihood)
    lenient, n_rows = xp.asarray(lenient)[..., None], xp.asarray(n_rows)[..., None]
    weightless = weights <= 10 * xp.finfo(weights.dtype).eps
    there = xp.broadcast_to(present, weights.shape)
    even = n_rows / xp.sum(there, axis=-1, keepdims=True, dtype=weights.dtype)
    few = weights * n_rows < xp.minimum(_HANDFUL * components.rows_to_span, _FEWER * even)
    few &= even >= components.rows_to_span
    narrow = components.collapsed() | (~lenient & few & (components.ridge_trace(floor) > _RIDGE))
    if pinned is not None:
        weightless, narrow = weightless & ~pinned.shapes, narrow & ~pinned.covariances
    collapsed = present & (weightless | narrow)
    # Collapse leaves the means finite and the factors not; anything else that is not finite is another fault.
    lost = ~xp.all(xp.isfinite(components.means), axis=(-2, -1)) | ~xp.all(xp.isfinite(weights), axis=-1)
    degenerate = xp.any(collapsed, axis=-1)
    fault = xp.where(degenerate & xp.logical_not(keep), Status.DEGENERATE, Status.RUNNING)
    infinite = ~xp.isfinite(log_likelihood) & (~degenerate | keep)
    return Faults(xp.where(lost | infinite, Status.NON_FINITE, fault).astype(xp.int32), collapsed)


@quiet
def suspects(
    mixture: Mixture, spike: Float[Array, " d"], limit: Float[Array, " d"], n_rows: Int[Array, "*r"],
    given: Bool[Array, "*r k"] | Bool[Array, ""] | bool,
) -> tuple[Bool[Array, "*r k"], Float[Array, "*r k"]]:  # fmt: skip
    """Which components owe their likelihood to a handful of rows, and what bounds how much of each is below `limit`.

    A handful of rows is suspect where it is far narrower than the mixture's components usually are, or a spike.
    """
    weights, components = mixture.weights, mixture.components
    xp = namespace(weights, components.means)
    width = components.log_width()
    narrow = width < xp.sum(weights * width, axis=-1, keepdims=True) + np.log(_NARROW)
    few = weights * xp.asarray(n_rows)[..., None] < _HANDFUL * components.rows_to_span
    there = (weights > 0) & ~xp.asarray(given)
    handful = few & there & (narrow | (components.ridge_trace(spike) > _RIDGE))
    return handful, xp.where(there, components.ridge_trace(limit), 0.0)


@compiled
def _of_restarts(*of_each: Any) -> Any:
    return jax.vmap(suspects, (0, None, None, 0, 0))(*of_each)


@compiled
def _of_data_sets(*of_each: Any) -> Any:
    return jax.vmap(jax.vmap(suspects, (0, None, None, None, None)), (0, 0, 0, 0, None))(*of_each)


def unsound(mixtures: Mixture, widths: Widths, n_rows: Any, given: Any = False) -> Any:
    """Which components of restarts make them unsound, (r, k), or of restarts of many data sets, (p, r, k).

    Args:
        mixtures: leading axis r, or axes p, r; NumPy.
        widths: see there; with leading axis p for many data sets.
        n_rows: (r,), or one number for all; (p,) for many data sets.
        given: (k,) or (r, k), the components whose widths were given, and are no fault.
    """
    wide, limit = mixtures.astype(np.float64), widths.limit
    if len(mixtures.batch_shape) == 1:
        each, held = np.broadcast_to(n_rows, mixtures.batch_shape), np.broadcast_to(given, wide.weights.shape)
        if on_numpy(wide.components.__class__):
            found = suspects(wide, widths.spike, limit, each, held)
        else:
            with precision.scope(np.dtype(np.float64)):
                found = _of_restarts(wide, widths.spike, limit, each, held)
    else:
        with precision.scope(np.dtype(np.float64)):
            found = _of_data_sets(wide, widths.spike, limit, np.asarray(n_rows), np.asarray(given))
    handful, bound = map(np.array, found)
    # No more of a component than the trace says is below the limit: few are worth their eigenvalues.
    close = np.nonzero(~(bound < 1))
    if len(close[0]):
        each = limit if limit.ndim == 1 else limit[close[0]]
        handful[close] |= share_below(wide.covariance_matrices()[close], each) >= 1
    return handful


def owed(mixtures: Mixture, widths: Widths, counts: Any, flagged: Any) -> Any:
    """What unsound restarts owe to components that are narrower than the densest rows, nats: (r,) or (p, r).

    About how much lower the log-likelihood would be if the `flagged` components were as wide as those rows are, in
    every direction: Q at their covariance less Q at the widened one, responsibilities as they are. A restart that is
    ahead of the sound ones by more than that does not owe it to them.

    Args:
        mixtures, widths: as `unsound` has them.
        counts: (..., k), the weight of the rows that each component holds.
        flagged: (..., k), what `unsound` found.
    """
    where = np.nonzero(flagged)
    total = np.zeros(flagged.shape)
    if len(where[0]):
        usual = widths.usual if widths.usual.ndim == 1 else widths.usual[where[0]]
        unit = np.where(usual > 0, usual, 1.0)
        matrices = mixtures.astype(np.float64).covariance_matrices()[where] / (unit[..., :, None] * unit[..., None, :])
        finite = np.all(np.isfinite(matrices), axis=(-2, -1))
        varied = np.broadcast_to(usual > 0, matrices.shape[:-1])
        both = varied[..., :, None] & varied[..., None, :]
        matrices = np.where(both & finite[:, None, None], matrices, np.eye(matrices.shape[-1]))
        size = np.clip(np.linalg.eigvalsh(matrices), _TINY, 1.0)
        total[where] = counts[where] * 0.5 * np.sum(size - 1 - np.log(size), axis=-1)
    return total.sum(axis=-1)


def share_below(matrices: Any, width: Any) -> Any:
    """How much of a component is no more than `width`, in the direction where that is most, 0 … 1: (m,).

    The largest eigenvalue of Σ⁻¹ diag(width²).

    Args:
        matrices: (m, d, d), covariances.
        width: (d,) or (m, d).
    """
    return eigen_shares(matrices, width)[..., -1]


def eigen_shares(matrices: Any, width: Any) -> Any:
    """The eigenvalues of Σ⁻¹ diag(width²), (m, d), ascending, at most 1; 1 where Σ is not finite."""
    finite = np.all(np.isfinite(matrices), axis=(-2, -1))
    matrices = np.where(finite[..., None, None], matrices, np.eye(matrices.shape[-1]))
    # By eigenvalues, as rounding leaves some matrices just short of a Cholesky factor.
    scale = np.sqrt(np.maximum(np.einsum("...dd->...d", matrices), _TINY))
    values, vectors = np.linalg.eigh(matrices / (scale[..., :, None] * scale[..., None, :]))
    # A Bernoulli component may have no variance at all.
    values = np.maximum(values, np.maximum(np.finfo(np.float64).eps * values[..., -1:], _TINY))
    whitened = np.swapaxes(vectors, -1, -2) * (width / scale)[..., None, :] / np.sqrt(values)[..., :, None]
    shares = np.minimum(np.linalg.svd(whitened, compute_uv=False)[..., ::-1] ** 2, 1.0)
    return np.where(finite[..., None], shares, 1.0)
