"""What a fitted component stands on: rows, or a ridge, or a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxgmm import precision
from jaxgmm.coordinates import Coordinates
from jaxgmm.families.base import Conjugate
from jaxgmm.mixture import Mixture
from jaxgmm.ordering import permuted
from jaxgmm.soundness import spurious

# More than half of a component is then not the rows'.
_DOMINATES = 0.5
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class ComponentReport:
    """One restart's components; arrays over k.

    Attributes:
        counts: N_k, the weight of the rows that the component holds.
        reciprocal_condition: smallest over largest eigenvalue of its covariance, every feature in units of the data's
            own standard deviation.
        ridge_share: how much of its covariance is ridge, in the direction where that is most: 0 … 1.
        prior_share: how much of what its covariance is estimated from is prior: 0 … 1.
        spurious: whether it owes its likelihood to a handful of rows.
    """

    counts: Any
    reciprocal_condition: Any
    ridge_share: Any
    prior_share: Any
    spurious: Any

    @property
    def ridge_dominates(self) -> Any:
        """Where more of the covariance is ridge than rows, in some direction."""
        return self.ridge_share > _DOMINATES

    @property
    def prior_dominates(self) -> Any:
        """Where the covariance owes more to the prior than to rows."""
        return self.prior_share > _DOMINATES


@dataclass(frozen=True)
class Diagnosis:
    """Restarts in the coordinates they were fitted in, and what they were held back by.

    Attributes:
        mixtures: leading axis r, NumPy.
        frame: those coordinates.
        ridge: the ridge's standard deviation per feature, in them.
        floor: the same, but 0 where the data are hardly wider themselves.
        prior: the prior in them, NumPy; or None.
        n_rows, total_weight: of the rows; where restarts do not see the same ones, `n_rows` is (r,).
        given: (k,) or (r, k), the components whose covariances were given, and not fitted.
        held: (r, k), what weight of rows each component holds, where weights were given and do not tell.
    """

    mixtures: Mixture
    frame: Coordinates
    ridge: Any
    floor: Any
    prior: Conjugate | None
    n_rows: Any
    total_weight: float
    given: Any = False
    held: Any = None

    def spurious(self) -> Any:
        """Which components of which restarts owe their likelihood to a handful of rows, (r, k)."""
        wide = self.mixtures.astype(np.float64)
        if self.held is not None:
            wide = replace(wide, weights=self.held / self.total_weight)
        with precision.scope(np.dtype(np.float64)):
            n_rows = np.broadcast_to(self.n_rows, len(wide.weights))
            return np.asarray(_spurious(wide, self.floor, n_rows, self._given()))

    def _given(self) -> Any:
        return np.broadcast_to(np.asarray(self.given), self.mixtures.weights.shape)

    def rearranged(self, order: Any) -> Diagnosis:
        """The same of components in another order, (r, k)."""
        given = np.take_along_axis(self._given(), order, axis=1)
        held = None if self.held is None else np.take_along_axis(np.asarray(self.held), order, axis=1)
        return replace(self, mixtures=permuted(self.mixtures, order), given=given, held=held)

    def blurred(self, restart: int) -> Any:
        """The components of a restart that are more ridge than rows in some direction in which the data are wide."""
        matrices = self.mixtures[restart].covariance_matrices()
        blurred = _ridge_share(matrices, np.asarray(self.floor, np.float64)) > _DOMINATES
        return np.flatnonzero(blurred & ~self._given()[restart])

    def report(self, restart: int) -> ComponentReport:
        """What there is to say of the components of one restart."""
        mixture = self.mixtures[restart].astype(np.float64)
        weights = np.asarray(mixture.weights, np.float64)
        counts = weights * self.total_weight if self.held is None else self.held[restart]
        prior_share = np.zeros_like(counts)
        if self.prior is not None and self.held is None:
            extra = float(self.prior.concentration) - 1
            counts = np.maximum(weights * (self.total_weight + len(weights) * extra) - extra, 0.0)
        if self.prior is not None:
            prior_share = _prior_share(mixture, self.prior, counts)
        matrices = mixture.covariance_matrices()
        eigenvalues = np.linalg.eigvalsh(_in_feature_units(matrices, self.frame.spread))
        return ComponentReport(
            counts=counts,
            reciprocal_condition=np.maximum(eigenvalues[:, 0], 0.0) / np.maximum(eigenvalues[:, -1], _TINY),
            ridge_share=_ridge_share(matrices, self.ridge),
            prior_share=prior_share,
            spurious=self.spurious()[restart],
        )


_spurious = jax.jit(jax.vmap(spurious, (0, None, 0, 0)))
_pseudo = jax.jit(lambda mixture, prior: mixture.components.pseudo(prior))


def _in_feature_units(matrices: Any, spread: Any) -> Any:
    """Covariances with the data's own standard deviation per feature, `spread`, as the unit."""
    return matrices / (spread[:, None] * spread)


def _ridge_share(matrices: Any, ridge: Any) -> Any:
    """The largest eigenvalue of Σ⁻¹ R Rᵀ."""
    # By eigenvalues, as rounding leaves some matrices just short of a Cholesky factor.
    scale = np.sqrt(np.maximum(np.einsum("kdd->kd", matrices), _TINY))
    values, vectors = np.linalg.eigh(matrices / (scale[:, :, None] * scale[:, None, :]))
    # A Bernoulli component may have no variance at all.
    values = np.maximum(values, np.maximum(np.finfo(np.float64).eps * values[:, -1:], _TINY))
    whitened = np.swapaxes(vectors, -1, -2) * (ridge / scale)[:, None, :] / np.sqrt(values)[:, :, None]
    return np.minimum(np.linalg.norm(whitened, ord=2, axis=(-2, -1)) ** 2, 1.0)


def _prior_share(mixture: Mixture, prior: Conjugate, counts: Any) -> Any:
    """Pseudo-rows in the denominators of covariances (of rates, for Bernoulli), over all rows in them."""
    with precision.scope(np.dtype(np.float64)):
        pseudo_counts, moments = _pseudo(mixture, prior)
        worth = np.asarray(pseudo_counts) + np.asarray(getattr(moments, "dof", 0.0))
    if mixture.components.pooled:
        worth, counts = np.full_like(counts, worth.sum()), np.full_like(counts, counts.sum())
    return worth / (worth + counts)
