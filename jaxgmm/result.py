"""What a fit returns, and how it picks the best restart."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgmm.diagnostics import ComponentReport, Diagnosis
from jaxgmm.mixture import Mixture
from jaxgmm.ordering import order_of, permuted
from jaxgmm.status import SOUND, Status
from jaxgmm.tournament import Round


class FitError(RuntimeError):
    """No restart ended with a finite log-likelihood."""


class FitWarning(RuntimeWarning):
    """The best restart is not one to rely on."""


_SPURIOUS_ADVICE = "Lower n_components, use prior='default' or a larger reg_covar, or start more restarts."


@dataclass(frozen=True)
class FitResult:
    """What `fit` found. Arrays are NumPy, over restarts r.

    Attributes:
        mixture: the best restart's mixture.
        mixtures: every restart's, leading axis r.
        best: the best restart's number: the highest log-likelihood (with a prior, log-posterior) among those that
            ended soundly, spurious ones only if there are no others.
        log_likelihood: (r,), weighted sums over rows, nats, without ridge or prior; nats of densities per unit of the
            data.
        log_prior: (r,), of the parameters, nats, up to a constant that all restarts share; 0 without a prior.
        n_iter: (r,), steps taken.
        status: (r,), values of `Status`.
        spurious: (r,), whether some component owes its likelihood to a handful of rows; see `components`.
        revivals: (r,), how often collapsed components were put elsewhere.
        kernel: (r,), the kernel each restart ended on.
        passes: (r,), how many times the rows were read, in whole data sets.
        history: (r, longest + 1), mean log-likelihood per row at the start and after each step; NaN past
            a restart's end. With mini-batches what steps saw: estimates, but for the start. In a race what the rounds
            saw, samples of the rows until the final.
        total_weight: the rows' number, or the sum of their weights.
        seconds: wall time from checked rows to mixtures, compilation included.
        diagnosis: what `components` reads.
        moves: (r,), how many jumps out of an optimum led to each mixture of a race; 0 without one.
        rounds: the story of a race, one `tournament.Round` after the other; empty without one. Restarts that have left
            a race keep the log-likelihood of the sample they saw last, scaled to all rows.
    """

    mixture: Mixture
    mixtures: Mixture
    best: int
    log_likelihood: Any
    log_prior: Any
    n_iter: Any
    status: Any
    spurious: Any
    revivals: Any
    kernel: Any
    passes: Any
    history: Any
    total_weight: float
    seconds: float
    diagnosis: Diagnosis
    moves: Any = 0
    rounds: tuple[Round, ...] = ()

    @property
    def score(self) -> float:
        """The best restart's mean log-likelihood, nats per row."""
        return float(self.log_likelihood[self.best] / self.total_weight)

    @property
    def log_posterior(self) -> Any:
        """(r,), log-likelihood and log-prior together: what EM raises."""
        return self.log_likelihood + self.log_prior

    def components(self, restart: int | None = None) -> ComponentReport:
        """What each component of a restart, the best one by default, stands on."""
        return self.diagnosis.report(self.best if restart is None else restart)

    def sorted(self, by: str | Callable[[Mixture], Any] = "weight", feature: int = 0) -> FitResult:
        """The same result, the components of every restart in another order: see `Mixture.sorted`."""
        order = order_of(self.mixtures, by, feature)
        mixtures = permuted(self.mixtures, order)
        return replace(self, mixture=mixtures[self.best], mixtures=mixtures, diagnosis=self.diagnosis.rearranged(order))

    def counts(self) -> dict[str, int]:
        """How many restarts ended in each status."""
        return {status.name: int(n) for status in Status if (n := np.sum(self.status == status))}

    def __repr__(self) -> str:
        status = Status(int(self.status[self.best]))
        ended = ", ".join(f"{n} {name}" for name, n in self.counts().items())
        return (
            f"FitResult({self.mixture!r}, score={self.score:.6g} nats per row, {status.name} after "
            f"{int(self.n_iter[self.best])} iterations; {len(self.status)} restarts: {ended})"
        )


# How far the best restart is to be relied on, by its tier.
_COMPLAINTS = (
    None,
    f"every sound restart is spurious: a component sits on a handful of rows. {_SPURIOUS_ADVICE}",
    f"every restart is degenerate. {Status.DEGENERATE.advice}",
)


def best_of(value: Any, status: Any, spurious: Any) -> tuple[Any, Any]:
    """The restart with the highest `value` in the best tier there is, and that tier; restarts are the last axis.

    Tiers: 0 ended soundly, 1 soundly but spurious, 2 degenerate, 3 not finite.
    """
    tier = np.where(status == Status.DEGENERATE, 2, np.where(np.isin(status, SOUND), np.where(spurious, 1, 0), 3))
    tier = np.where(np.isfinite(value), tier, 3)
    found = tier.min(axis=-1, keepdims=True)
    return np.argmax(np.where(tier == found, value, -np.inf), axis=-1), found[..., 0]


def best_restart(value: Any, status: Any, spurious: Any, stacklevel: int = 3) -> int:
    """The restart with the highest `value` among those that ended soundly, not spurious if possible.

    With none sound the best degenerate one is taken. Either makes do with a warning.

    Raises:
        FitError: every restart is non-finite.
    """
    best, complaint = choose_restart(value, status, spurious)
    if complaint is not None:
        warnings.warn(complaint, FitWarning, stacklevel=stacklevel)
    return best


def choose_restart(value: Any, status: Any, spurious: Any) -> tuple[int, str | None]:
    """The same choice, and in place of the warning what it would say.

    Raises:
        FitError: every restart is non-finite.
    """
    best, tier = best_of(value, status, spurious)
    if tier < len(_COMPLAINTS):
        return int(best), _COMPLAINTS[tier]
    counts = ", ".join(f"{int(np.sum(status == s))} {s.name}" for s in Status if np.any(status == s))
    worst = Status.NON_FINITE if np.any(status == Status.NON_FINITE) else Status.DEGENERATE
    raise FitError(f"no restart stayed finite: {counts}. {worst.advice}")


def warn_of_ridge(components: Any, stacklevel: int = 3) -> None:
    """Warns of `components` of the best restart that are more ridge than rows in some direction."""
    if len(components):
        warnings.warn(
            f"components {', '.join(map(str, components))} of the best restart are more ridge than rows in some "
            "direction: lower reg_covar if clusters are that narrow beside the data as a whole, drop rows far from all "
            "others, or lower n_components; see result.components()",
            FitWarning,
            stacklevel=stacklevel,
        )
