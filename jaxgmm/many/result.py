"""What `fit_many` returns: arrays over data sets, and a `FitResult` for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import jax
import numpy as np

from jaxgmm.families.base import Conjugate
from jaxgmm.fit.diagnostics import Diagnosis
from jaxgmm.fit.result import FitResult, FitWarning
from jaxgmm.inputs import telling
from jaxgmm.mixture import Mixture
from jaxgmm.mixture.ordering import order_of, permuted
from jaxgmm.problem.coordinates import Coordinates
from jaxgmm.problem.resolution import Widths
from jaxgmm.run.status import SOUND, Status


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Restarts:
    """Every restart of every data set: arrays over (p, r). See `FitResult` for what they mean.

    Attributes:
        mixtures: leading axes p, r.
    """

    mixtures: Mixture
    log_likelihood: Any
    log_prior: Any
    n_iter: Any
    status: Any
    spurious: Any
    owed: Any
    revivals: Any
    kernel: Any
    passes: Any
    remaining: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Evidence:
    """What diagnoses are made from; leading axis p. See `diagnostics.Diagnosis`."""

    framed: Mixture
    frame: Coordinates
    ridge: Any
    widths: Widths
    prior: Conjugate | None
    n_rows: Any

    def diagnosis(self, i: int, total_weight: float) -> Diagnosis:
        widths, prior = jax.tree.map(lambda leaf: leaf[i], (self.widths, self.prior))
        return Diagnosis(self.framed[i], self.frame[i], self.ridge[i], widths, prior, int(self.n_rows[i]), total_weight)


@dataclass(frozen=True, eq=False)
class ManyResult(Sequence[FitResult]):
    """What `fit_many` found. `result[i]` is the `FitResult` of data set i; arrays are NumPy, over data sets p.

    Attributes:
        mixtures: the best restarts' mixtures, leading axis p.
        best: (p,), the best restart's number, chosen as `fit` does. Where none stayed finite it says nothing.
        restarts: all restarts, leading axes p, r.
        total_weight: (p,), the rows' number, or the sum of their weights.
        seconds: wall time from checked rows to mixtures, compilation included.
        evidence: what diagnoses are made from.
    """

    mixtures: Mixture
    best: Any
    restarts: Restarts
    total_weight: Any
    seconds: float
    evidence: Evidence

    def _best(self, values: Any) -> Any:
        return values[np.arange(len(self.best)), self.best]

    @property
    def log_likelihood(self) -> Any:
        """(p,), the best restarts': weighted sums over rows, nats."""
        return self._best(self.restarts.log_likelihood)

    @property
    def score(self) -> Any:
        """(p,), the best restarts' mean log-likelihood, nats per row."""
        return self.log_likelihood / self.total_weight

    @property
    def status(self) -> Any:
        """(p,), how the best restarts ended: values of `Status`."""
        return self._best(self.restarts.status)

    @property
    def n_iter(self) -> Any:
        """(p,), steps the best restarts took."""
        return self._best(self.restarts.n_iter)

    @property
    def spurious(self) -> Any:
        """(p,), whether the best restart is spurious; see `FitResult`."""
        return self._best(self.restarts.spurious)

    @property
    def remaining(self) -> Any:
        """(p,), nats in total that the best restarts are predicted still to gain; see `FitResult`."""
        return self._best(self.restarts.remaining)

    def sorted(self, by: str | Callable[[Mixture], Any] = "weight", feature: int = 0) -> ManyResult:
        """The same result, the components of every restart of every data set in another order: see `Mixture.sorted`."""
        order = order_of(self.restarts.mixtures, by, feature)
        restarts = replace(self.restarts, mixtures=permuted(self.restarts.mixtures, order))
        return replace(
            self,
            mixtures=restarts.mixtures[np.arange(len(self)), self.best],
            restarts=restarts,
            evidence=replace(self.evidence, framed=permuted(self.evidence.framed, order)),
        )

    def counts(self) -> dict[str, int]:
        """How many data sets' best restarts ended in each status."""
        return {status.name: int(n) for status in Status if (n := np.sum(self.status == status))}

    def __len__(self) -> int:
        return len(self.best)

    @overload
    def __getitem__(self, index: int) -> FitResult: ...

    @overload
    def __getitem__(self, index: slice) -> list[FitResult]: ...

    def __getitem__(self, index: int | slice) -> FitResult | list[FitResult]:
        """The result of one data set, as `fit` gives it; histories are not kept: theirs is (r, 0)."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        held, best, total = self.restarts, int(self.best[i]), float(self.total_weight[i])
        mixtures = held.mixtures[i]
        return FitResult(
            mixture=mixtures[best],
            mixtures=mixtures,
            best=best,
            log_likelihood=held.log_likelihood[i],
            log_prior=held.log_prior[i],
            n_iter=held.n_iter[i],
            status=held.status[i],
            spurious=held.spurious[i],
            owed=held.owed[i],
            revivals=held.revivals[i],
            kernel=held.kernel[i],
            passes=held.passes[i],
            remaining=held.remaining[i],
            history=np.empty((len(held.status[i]), 0)),
            total_weight=total,
            seconds=self.seconds / len(self),
            diagnosis=self.evidence.diagnosis(i, total),
        )

    def __repr__(self) -> str:
        ended = ", ".join(f"{n} {name}" for name, n in self.counts().items())
        return (
            f"ManyResult({len(self)} data sets × {self.restarts.status.shape[1]} restarts, {self.mixtures!r}; "
            f"best restarts: {ended})"
        )


def warn_of_doubt(result: ManyResult) -> None:
    """One warning for all data sets whose best restart is not one to rely on."""
    doubt = result.spurious | ~np.isin(result.status, SOUND)
    if doubt.any():
        some = ", ".join(map(str, np.flatnonzero(doubt)[:6]))
        telling.warn(
            f"{int(doubt.sum())} of {len(result)} data sets have a best restart that is not sound: {some}"
            f"{', …' if doubt.sum() > 6 else ''}; result[i].doubt says why one is spurious, and status how it ended. "
            "Use prior='default', fewer components, a larger reg_covar, or more restarts",
            FitWarning,
        )
