"""What `fit_many` returns: arrays over data sets, and a `FitResult` for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np

from jaxgmm.families.base import Conjugate
from jaxgmm.fit.diagnostics import Diagnosis
from jaxgmm.fit.result import FitResult, FitWarning
from jaxgmm.inputs import telling, trees
from jaxgmm.inputs.typing import Bool, Float, Int
from jaxgmm.many.problem import Frames
from jaxgmm.mixture import Mixture
from jaxgmm.mixture.ordering import order_of, permuted
from jaxgmm.run.record import Restarts
from jaxgmm.run.status import SOUND, Status


@trees.register_dataclass
@dataclass(frozen=True)
class Evidence:
    """What diagnoses are made from; leading axis p.

    Attributes:
        mixtures: every restart's, in the coordinates of its data set; axes p, r.
        frames: what is known of each data set.
        prior: in those coordinates, or None.
    """

    mixtures: Mixture
    frames: Frames
    prior: Conjugate | None

    def diagnosis(self, i: int) -> Diagnosis:
        """That of the restarts of data set i."""
        mixtures, frames, prior = trees.map(lambda leaf: leaf[i], (self.mixtures, self.frames, self.prior))
        return Diagnosis(
            mixtures=mixtures,
            frame=frames.frame,
            ridge=frames.ridge,
            widths=frames.widths,
            prior=prior,
            n_rows=int(frames.n_rows),
            total_weight=float(frames.total_weight),
        )


@dataclass(frozen=True, eq=False)
class ManyResult(Sequence[FitResult]):
    """What `fit_many` found. `result[i]` is the `FitResult` of data set i; arrays are NumPy, over data sets p.

    Attributes:
        best: (p,), the best restart's number, chosen as `fit` does. Where none stayed finite it says nothing.
        restarts: all restarts, leading axes p, r.
        seconds: wall time from checked rows to mixtures, compilation included.
        evidence: what diagnoses are made from.
    """

    best: Int[np.ndarray, " p"]
    restarts: Restarts
    seconds: float
    evidence: Evidence

    @cached_property
    def bests(self) -> Restarts:
        """How the best restart of each data set ended, leading axis p."""
        return self.restarts[np.arange(len(self.best)), self.best]

    @property
    def mixtures(self) -> Mixture:
        """The best restarts' mixtures, leading axis p."""
        return self.bests.mixtures

    @property
    def total_weight(self) -> Float[np.ndarray, " p"]:
        """The number of each data set's rows, or the sum of their weights."""
        return self.evidence.frames.total_weight

    @property
    def log_likelihood(self) -> Float[np.ndarray, " p"]:
        """The best restarts': weighted sums over rows, nats."""
        return self.bests.log_likelihood

    @property
    def score(self) -> Float[np.ndarray, " p"]:
        """The best restarts' mean log-likelihood, nats per row."""
        return self.log_likelihood / self.total_weight

    @property
    def status(self) -> Int[np.ndarray, " p"]:
        """How the best restarts ended: values of `Status`."""
        return self.bests.status

    @property
    def n_iter(self) -> Int[np.ndarray, " p"]:
        """Steps the best restarts took."""
        return self.bests.n_iter

    @property
    def spurious(self) -> Bool[np.ndarray, " p"]:
        """Whether the best restart is spurious; see `FitResult`."""
        return self.bests.spurious

    @property
    def remaining(self) -> Float[np.ndarray, " p"]:
        """Nats in total that the best restarts are predicted still to gain; see `FitResult`."""
        return self.bests.remaining

    def sorted(self, by: str | Callable[[Mixture], Any] = "weight", feature: int = 0) -> ManyResult:
        """The same result, the components of every restart of every data set in another order: see `Mixture.sorted`."""
        order = order_of(self.restarts.mixtures, by, feature)
        restarts = replace(self.restarts, mixtures=permuted(self.restarts.mixtures, order))
        evidence = replace(self.evidence, mixtures=permuted(self.evidence.mixtures, order))
        return replace(self, restarts=restarts, evidence=evidence)

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
        seconds = self.seconds / len(self)
        return FitResult.of(self.restarts[i], self.evidence.diagnosis(i), seconds=seconds, best=int(self.best[i]))

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
        helped = result.evidence.prior is None and type(result.mixtures.components).says("pseudo")
        prior = "prior='default', " if helped else ""
        some = ", ".join(map(str, np.flatnonzero(doubt)[:6]))
        telling.warn(
            f"{int(doubt.sum())} of {len(result)} data sets have a best restart that is not sound: {some}"
            f"{', …' if doubt.sum() > 6 else ''}; result[i].doubt says why one is spurious, and status how it ended. "
            f"Use {prior}fewer components, a larger reg_covar, or more restarts",
            FitWarning,
        )
