"""What a fitted component stands on: rows, or a ridge, or a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgmm.em import e_step
from jaxgmm.families.base import Conjugate
from jaxgmm.families.hosting import on_numpy
from jaxgmm.inputs import precision, trees
from jaxgmm.inputs.programs import compiled
from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.inputs.wording import Wording
from jaxgmm.mixture import Mixture, at_rest
from jaxgmm.mixture.ordering import permuted
from jaxgmm.problem.coordinates import Coordinates
from jaxgmm.problem.pose import Problem
from jaxgmm.problem.resolution import Widths
from jaxgmm.rows import Rows
from jaxgmm.run.record import Restarts
from jaxgmm.run.soundness import eigen_shares, owed, share_below, unsound

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
        ridge_cost: what the ridge costs it, nats: about how much higher the log-likelihood would be if its covariance
            were that of its rows alone. Infinite where those have no width.
        prior_share: how much of what its covariance is estimated from is prior: 0 … 1.
        underdetermined: whether it holds fewer rows than span its covariance, whose missing directions are ridge.
        spurious: whether it owes its likelihood to the ridge, to fewer rows than span it, or to values that repeat or
            are rounded.
    """

    counts: Float[np.ndarray, " k"]
    reciprocal_condition: Float[np.ndarray, " k"]
    ridge_share: Float[np.ndarray, " k"]
    ridge_cost: Float[np.ndarray, " k"]
    prior_share: Float[np.ndarray, " k"]
    underdetermined: Bool[np.ndarray, " k"]
    spurious: Bool[np.ndarray, " k"]

    @property
    def ridge_dominates(self) -> Bool[np.ndarray, " k"]:
        """Where more of the covariance is ridge than rows, in some direction."""
        return self.ridge_share > _DOMINATES

    @property
    def prior_dominates(self) -> Bool[np.ndarray, " k"]:
        """Where the covariance owes more to the prior than to rows."""
        return self.prior_share > _DOMINATES


@dataclass(frozen=True)
class Diagnosis:
    """Restarts in the coordinates they were fitted in, and what they were held back by.

    Attributes:
        mixtures: leading axis r, NumPy.
        frame: those coordinates.
        ridge: the ridge's standard deviation per feature, in them.
        widths: what components are held against.
        prior: the prior in them, NumPy; or None.
        n_rows, total_weight: of the rows; where restarts do not see the same ones, `n_rows` is (r,).
        given: (k,) or (r, k), the components whose covariances were given, and not fitted.
        held: (r, k), what weight of rows each component holds, where weights were given and do not tell.
    """

    mixtures: Mixture
    frame: Coordinates
    ridge: Float[np.ndarray, " d"]
    widths: Widths
    prior: Conjugate | None
    n_rows: int | Int[np.ndarray, " r"]
    total_weight: float
    given: Any = False
    held: Float[np.ndarray, "r k"] | None = None

    def spurious(self) -> Bool[np.ndarray, "r k"]:
        """Which components of which restarts make them unsound, (r, k); see `soundness`."""
        mixtures = self.mixtures
        if self.held is not None:
            weights: Any = self.held / self.total_weight
            mixtures = replace(mixtures.astype(np.float64), weights=weights)
        return unsound(mixtures, self.widths, self.n_rows, self._given())

    def judged(self, restarts: Restarts) -> Restarts:
        """The record of the same restarts with what speaks against them."""
        flagged = self.spurious()
        return restarts.judged(np.any(flagged, axis=1), self.owed(flagged))

    def owed(self, spurious: Bool[np.ndarray, "r k"]) -> Float[np.ndarray, " r"]:
        """What restarts owe to their `spurious` components, (r,), nats; see `soundness.owed`."""
        counts = np.stack([self._counts(restart) for restart in range(len(self.mixtures.weights))])
        return owed(self.mixtures, self.widths, counts, spurious)

    def doubt(self, restart: int) -> Wording:
        """Why a restart is unsound and what to do about it, in words; empty where it is not."""
        flagged = self.spurious()[restart]
        if not flagged.any():
            return Wording("")
        traits, few = self.mixtures.components.traits, flagged & self._underdetermined(restart)
        narrow = flagged & ~few
        narrow[narrow] = self._below_resolution(restart)[narrow]
        helped = self.prior is None and type(self.mixtures.components).says("pseudo")
        parts, advice, prior = [], [], '{prior:"default"}, ' if helped else ""
        if few.any():
            span = self.mixtures[restart].components.rows_to_span
            parts.append(
                f"{_named(few)} {'hold' if few.sum() > 1 else 'holds'} fewer than the {span} rows that span a "
                f"{traits.name} covariance, and {'are' if few.sum() > 1 else 'is'} ridge in the missing directions"
            )
            others = [f'"{name}"' for name in traits.fewer_rows]
            kinds = f"{{covariance_type:{' or '.join(others)}}}, or " if others else ""
            prior_or = prior if kinds else prior.replace(", ", " or ")
            advice.append(Wording(f"use {prior_or}{kinds}fewer components"))
        if narrow.any():
            stepped = np.flatnonzero(self.frame.step > 0)
            rounded = f" (column{'s' if len(stepped) > 1 else ''} {', '.join(map(str, stepped[:6]))})"
            steps = f" or are rounded{rounded}" if len(stepped) else ""
            parts.append(
                f"{_named(narrow)} {'are' if narrow.sum() > 1 else 'is'} no wider in some direction than values that "
                f"repeat{steps}, or than the ridge"
            )
            advice.append(
                Wording(
                    "add noise as wide as the steps that values are rounded to, leave such columns out, use "
                    f"{prior}a smaller {{reg_covar}} if clusters are that narrow, or fewer components"
                )
            )
        handful = flagged & ~few & ~narrow
        if handful.any():
            parts.append(f"{_named(handful)} {'sit' if handful.sum() > 1 else 'sits'} on a handful of rows")
            advice.append(Wording(f"use {prior}fewer components, or start more restarts"))
        return Wording("{parts}: {advice}", parts="; ".join(parts), advice=Wording.joined("; ", advice))

    def _underdetermined(self, restart: int) -> Bool[np.ndarray, " k"]:
        """Which components hold fewer rows than span their covariance, (k,)."""
        counts = self._counts(restart)
        n_rows = np.broadcast_to(self.n_rows, len(self.mixtures.weights))[restart]
        rows = counts * (n_rows / self.total_weight)
        return (counts > 0) & (rows < self.mixtures[restart].components.rows_to_span)

    def _below_resolution(self, restart: int) -> Bool[np.ndarray, " k"]:
        """Which components are no wider than the resolution, (k,)."""
        return share_below(self.mixtures[restart].covariance_matrices(), self.widths.limit) >= 1

    def ridge_cost(self, restart: int) -> Float[np.ndarray, " k"]:
        """What the ridge costs each component of a restart, (k,), nats; see `ComponentReport`."""
        shares = eigen_shares(self.mixtures[restart].covariance_matrices(), self.widths.ridge)
        # Q at the rows' own covariance S less Q at S + R Rᵀ, responsibilities as they are.
        with np.errstate(divide="ignore"):
            each = -0.5 * np.sum(np.log1p(-shares) + shares, axis=-1)
        counts = self._counts(restart)
        return np.where(self._given()[restart] | (counts <= 0), 0.0, counts * each)

    def _counts(self, restart: int) -> Float[np.ndarray, " k"]:
        """The weight of the rows that each component of a restart holds, (k,)."""
        weights = np.asarray(self.mixtures.weights[restart], np.float64)
        if self.held is not None:
            return self.held[restart]
        if self.prior is None:
            return weights * self.total_weight
        extra = float(self.prior.concentration) - 1
        return np.maximum(weights * (self.total_weight + len(weights) * extra) - extra, 0.0)

    def _given(self) -> Bool[np.ndarray, "r k"]:
        return np.broadcast_to(np.asarray(self.given), self.mixtures.weights.shape)

    def rearranged(self, order: Int[np.ndarray, "r k"]) -> Diagnosis:
        """The same of components in another order, (r, k)."""
        given = np.take_along_axis(self._given(), order, axis=1)
        held = None if self.held is None else np.take_along_axis(np.asarray(self.held), order, axis=1)
        return replace(self, mixtures=permuted(self.mixtures, order), given=given, held=held)

    def report(self, restart: int) -> ComponentReport:
        """What there is to say of the components of one restart."""
        mixture = self.mixtures[restart].astype(np.float64)
        counts = self._counts(restart)
        prior_share = np.zeros_like(counts) if self.prior is None else _prior_share(mixture, self.prior, counts)
        matrices = mixture.covariance_matrices()
        eigenvalues = np.linalg.eigvalsh(_in_feature_units(matrices, self.frame.spread))
        return ComponentReport(
            counts=counts,
            reciprocal_condition=np.maximum(eigenvalues[:, 0], 0.0) / np.maximum(eigenvalues[:, -1], _TINY),
            ridge_share=share_below(matrices, self.ridge),
            ridge_cost=self.ridge_cost(restart),
            prior_share=prior_share,
            underdetermined=self._underdetermined(restart),
            spurious=self.spurious()[restart],
        )


def diagnose(problem: Problem, mixtures: Mixture) -> Diagnosis:
    """`mixtures` (leading axis r) with all that their diagnosis needs."""
    ridge, prior, pinned = trees.map(np.asarray, tuple(problem.penalty))
    ridge = ridge * problem.family.traits.has_width  # rates have a ridge, too, but no width for it to blur
    rows, held = problem.rows, None
    if pinned is not None and pinned.weights.any():
        count = _counts_of if rows.on_host else _counts_compiled
        held = np.asarray(rows.attended(lambda: count(mixtures, rows)), np.float64)
    return Diagnosis(
        mixtures=at_rest(mixtures),
        frame=problem.frame,
        ridge=ridge,
        widths=problem.widths,
        prior=prior,
        n_rows=int(rows.n_rows),
        total_weight=float(rows.total_weight),
        given=False if pinned is None else pinned.covariances,
        held=held,
    )


def _counts_of(mixtures: Mixture, rows: Rows) -> Any:
    return e_step(mixtures, rows).counts


_counts_compiled = compiled(_counts_of)


def _named(which: Bool[np.ndarray, " k"]) -> str:
    """The chosen components, in words."""
    numbers = np.flatnonzero(which).tolist()
    return f"component{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _in_feature_units(
    matrices: Float[np.ndarray, "k d d"], spread: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "k d d"]:
    """Covariances with the data's own standard deviation per feature, `spread`, as the unit."""
    return matrices / (spread[:, None] * spread)


def _prior_share(mixture: Mixture, prior: Conjugate, counts: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Pseudo-rows in the denominators of covariances (of rates, for Bernoulli), over all rows in them."""
    wide = trees.map(lambda leaf: np.asarray(leaf, np.float64), prior)
    with np.errstate(all="ignore"), precision.scope(np.dtype(np.float64), on_numpy(mixture.components.__class__)):
        pseudo_counts, moments = mixture.components.pseudo(wide)
        worth = np.asarray(pseudo_counts) + np.asarray(getattr(moments, "dof", 0.0))
    if mixture.components.traits.one_covariance:
        worth, counts = np.full_like(counts, worth.sum()), np.full_like(counts, counts.sum())
    return worth / (worth + counts)
