"""What a fit returns, and how it picks the best restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgmm.fit.diagnostics import ComponentReport, Diagnosis
from jaxgmm.inputs import arguments, telling
from jaxgmm.inputs.typing import Bool, Float, Int, Shaped
from jaxgmm.inputs.wording import InPython, Wording
from jaxgmm.mixture import Mixture
from jaxgmm.mixture.ordering import order_of, permuted
from jaxgmm.race.rounds import Round
from jaxgmm.run.record import Restarts
from jaxgmm.run.status import SOUND, Status


class FitError(RuntimeError):
    """No restart ended with a finite log-likelihood."""


class FitWarning(RuntimeWarning):
    """The best restart is not one to rely on."""


# Told of a mixture that costs itself so much by its ridge, nats per row.
_DEAR = 0.01
#: told of a restart that has so much to go, nats in total
UNFINISHED = 0.01
#: what the best restart may be chosen by
CHOICES = ("worth", "soundness", "log_likelihood")


@dataclass(frozen=True, eq=False)
class FitResult:
    """What `fit` found. Arrays are NumPy, over restarts r.

    Attributes:
        restarts: how every restart ended.
        best: the best restart's number: the highest `worth` of those that ended soundly. `best_of` has other choices.
        history: (r, longest + 1), mean log-likelihood per row at the start and after each step; NaN past
            a restart's end. With mini-batches what steps saw: estimates, but for the start. In a race what the rounds
            saw, samples of the rows until the final. With `HardEM` the classification log-likelihood.
        seconds: wall time from checked rows to mixtures, compilation included.
        diagnosis: what `components` reads.
        engine: who ran the restarts: "numpy" or "jax".
        rounds: the story of a race, one `race.rounds.Round` after the other; empty without one. Restarts that have
            left a race keep the log-likelihood of the sample they saw last, scaled to all rows.
    """

    restarts: Restarts
    best: int
    history: Float[np.ndarray, "r t"]
    seconds: float
    diagnosis: Diagnosis
    rounds: tuple[Round, ...] = ()
    engine: str = "jax"

    @classmethod
    def of(
        cls, restarts: Restarts, diagnosis: Diagnosis, *, seconds: float, best: int | None = None,
        history: Float[np.ndarray, "r t"] | None = None, rounds: tuple[Round, ...] = (), engine: str = "jax",
    ) -> FitResult:  # fmt: skip
        """The result of restarts that have been judged, their mixtures in the coordinates of the data.

        Args:
            restarts: leading axis r.
            diagnosis: of the same, in the coordinates that they were fitted in.
            seconds: what it took.
            best: the best restart's number; the highest `worth` of those that ended soundly if None.
            history: (r, t); nothing if None.
            rounds: of a race.
            engine: who ran the restarts.

        Raises:
            FitError: every restart is non-finite, and `best` is None.
        """
        best = best_restart(restarts.worth, restarts.status) if best is None else best
        history = np.empty((len(restarts), 0)) if history is None else history
        return cls(restarts, best, history, seconds, diagnosis, rounds, engine)

    @property
    def mixture(self) -> Mixture:
        """The best restart's mixture."""
        return self.mixtures[self.best]

    @property
    def mixtures(self) -> Mixture:
        """Every restart's, leading axis r."""
        return self.restarts.mixtures

    @property
    def log_likelihood(self) -> Float[np.ndarray, " r"]:
        """Weighted sums over rows, nats, without ridge or prior; nats of densities per unit of the data."""
        return self.restarts.log_likelihood

    @property
    def log_prior(self) -> Float[np.ndarray, " r"]:
        """Of the parameters, nats, up to a constant that all restarts share; 0 without a prior."""
        return self.restarts.log_prior

    @property
    def n_iter(self) -> Int[np.ndarray, " r"]:
        """Steps taken."""
        return self.restarts.n_iter

    @property
    def status(self) -> Int[np.ndarray, " r"]:
        """How each restart ended: values of `Status`."""
        return self.restarts.status

    @property
    def spurious(self) -> Bool[np.ndarray, " r"]:
        """Whether some component owes its likelihood to the ridge, to fewer rows than span it, or to rounded values.

        Values that repeat count as rounded. See `components` and `doubt`.
        """
        return self.restarts.spurious

    @property
    def owed(self) -> Float[np.ndarray, " r"]:
        """Nats that spurious restarts owe to components narrower than the densest rows; 0 for sound ones.

        That is about how much lower their log-likelihood would be if those components were as wide.
        """
        return self.restarts.owed

    @property
    def revivals(self) -> Int[np.ndarray, " r"]:
        """How often collapsed components were put elsewhere."""
        return self.restarts.revivals

    @property
    def kernel(self) -> Shaped[np.ndarray, " r"]:
        """The kernel that each restart ended on."""
        return self.restarts.kernel

    @property
    def passes(self) -> Float[np.ndarray, " r"]:
        """How many times the rows were read, in whole data sets."""
        return self.restarts.passes

    @property
    def moves(self) -> Int[np.ndarray, " r"]:
        """How many jumps out of an optimum led to each mixture of a race; 0 without one."""
        return self.restarts.moves

    @property
    def remaining(self) -> Float[np.ndarray, " r"]:
        """Nats in total by which the log-likelihood (with a prior, log-posterior) is predicted still to rise.

        By Aitken's extrapolation of the last gains; NaN where too few steps were taken to tell, and for mini-batches.
        EM may be slow: `tol` says how little a step gains, this what is left.
        """
        return self.restarts.remaining

    @property
    def log_posterior(self) -> Float[np.ndarray, " r"]:
        """Log-likelihood and log-prior together, nats: what EM raises."""
        return self.restarts.log_posterior

    @property
    def worth(self) -> Float[np.ndarray, " r"]:
        """What restarts are compared by, nats: `log_posterior` less what they owe to spurious components."""
        return self.restarts.worth

    @property
    def total_weight(self) -> float:
        """The rows' number, or the sum of their weights."""
        return self.diagnosis.total_weight

    @property
    def score(self) -> float:
        """The best restart's mean log-likelihood, nats per row."""
        return float(self.log_likelihood[self.best] / self.total_weight)

    @property
    def sound(self) -> bool:
        """Whether the best restart is one to rely on: it ended soundly and is not spurious."""
        return bool(self.status[self.best] in SOUND and not self.spurious[self.best])

    @property
    def doubt(self) -> str:
        """Why the best restart is spurious, and what to do about it; empty where it is not."""
        return self.diagnosis.doubt(self.best)

    @property
    def unfinished(self) -> Bool[np.ndarray, " r"]:
        """Whether a restart stopped with more than 0.01 nats in total still to gain: lower `tol`."""
        return self.remaining > UNFINISHED

    def best_of(self, choice: str = "worth") -> FitResult:
        """This result with the best restart chosen anew.

        Args:
            choice: "worth", as `fit` chooses; "soundness", the highest log-likelihood (with a prior, log-posterior)
                of those that are not spurious, if there are any; "log_likelihood", the highest of all that stayed
                finite, spurious or not.
        """
        if arguments.choice("choice", choice, CHOICES) == "worth":
            best = int(best_of(self.worth, self.status)[0])
        elif choice == "soundness":
            best = int(best_of(self.worth, self.status, self.spurious)[0])
        else:
            finite = np.isfinite(self.log_posterior) & (self.status != Status.NON_FINITE)
            best = int(np.argmax(np.where(finite, self.log_posterior, -np.inf)))
        return replace(self, best=best)

    def components(self, restart: int | None = None) -> ComponentReport:
        """What each component of a restart, the best one by default, stands on."""
        return self.diagnosis.report(self.best if restart is None else restart)

    def sorted(self, by: str | Callable[[Mixture], Any] = "weight", feature: int = 0) -> FitResult:
        """The same result, the components of every restart in another order: see `Mixture.sorted`."""
        order = order_of(self.mixtures, by, feature)
        restarts = replace(self.restarts, mixtures=permuted(self.mixtures, order))
        return replace(self, restarts=restarts, diagnosis=self.diagnosis.rearranged(order))

    def counts(self) -> dict[str, int]:
        """How many restarts ended in each status."""
        return {status.name: int(n) for status in Status if (n := np.sum(self.status == status))}

    def _qualms(self) -> str:
        """What the line about it should not keep back."""
        left = float(self.remaining[self.best])
        to_go = f" with about {left:.2g} nats in total to go" if left > UNFINISHED else ""
        to_go = " with gains that did not shrink" if left == np.inf else to_go
        return f"{to_go}{', spurious' if self.spurious[self.best] else ''}"

    def __repr__(self) -> str:
        status = Status(int(self.status[self.best]))
        ended = ", ".join(f"{n} {name}" for name, n in self.counts().items())
        return (
            f"FitResult({self.mixture!r}, score={self.score:.6g} nats per row, {status.name} after "
            f"{int(self.n_iter[self.best])} iterations{self._qualms()}; {len(self.status)} restarts: {ended})"
        )


def best_of(value: Any, status: Any, spurious: Any = False) -> tuple[Any, Any]:
    """The restart with the highest `value` in the best tier there is, and that tier; restarts are the last axis.

    Tiers: 0 ended soundly, 1 soundly but spurious, 2 degenerate, 3 not finite, or left before its end.
    """
    tier = np.where(status == Status.DEGENERATE, 2, np.where(np.isin(status, SOUND), np.where(spurious, 1, 0), 3))
    tier = np.where(np.isfinite(value), tier, 3)
    found = tier.min(axis=-1, keepdims=True)
    return np.argmax(np.where(tier == found, value, -np.inf), axis=-1), found[..., 0]


def best_restart(value: Any, status: Any, spurious: Any = False) -> int:
    """The restart with the highest `value` among those that ended soundly, not `spurious` if possible.

    With none sound the best degenerate one is taken.

    Raises:
        FitError: every restart is non-finite.
    """
    best, tier = best_of(value, status, spurious)
    if tier < 3:
        return int(best)
    counts = ", ".join(f"{int(np.sum(status == s))} {s.name}" for s in Status if np.any(status == s))
    worst = next((s for s in (Status.NON_FINITE, Status.DEGENERATE) if np.any(status == s)), Status(int(status[0])))
    happened = "stayed finite" if worst in (Status.NON_FINITE, Status.DEGENERATE) else "came to an end"
    raise FitError(
        Wording("no restart {happened}: {counts}. {advice}", happened=happened, counts=counts, advice=worst.advice)
    )


def complaint(result: FitResult) -> str:
    """What speaks against the best restart, in words; empty if nothing does."""
    best = result.best
    if result.status[best] not in SOUND:
        return Wording("every restart is degenerate. {advice}", advice=Status.DEGENERATE.advice)
    if result.spurious[best]:
        others = np.isin(result.status, SOUND) & ~result.spurious
        ahead = "the best restart is spurious, and ahead of the sound ones less what it owes to that"
        return Wording(
            "{fault}: {doubt}{see}", fault=ahead if others.any() else "every restart is spurious", doubt=result.doubt,
            see=InPython("; see result.components()"),
        )  # fmt: skip
    cost = result.diagnosis.ridge_cost(best)
    if not cost.sum() > _DEAR * result.total_weight:
        return ""
    narrow = np.flatnonzero(cost > 0.5 * _DEAR * result.total_weight / len(cost))
    return Wording(
        "{reg_covar} costs about {cost:.2g} nats per row: {components} of the best restart {are} hardly wider than the "
        "ridge; lower {reg_covar}{see}",
        cost=cost.sum() / result.total_weight,
        components=f"component{'s' if len(narrow) > 1 else ''} {', '.join(map(str, narrow))}",
        are="are" if len(narrow) > 1 else "is",
        see=InPython(", or see result.components()"),
    )


def warn_of(complaint: str) -> None:
    """One warning of all that speaks against a result, if anything does."""
    if complaint:
        telling.warn(complaint, FitWarning)
