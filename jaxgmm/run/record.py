"""How restarts fare and end: what is told of them while they run, and the record of their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Bool, Float, Int, Shaped
from jaxgmm.mixture import Mixture
from jaxgmm.run.status import Status


@dataclass(frozen=True)
class BlockInfo:
    """What `on_block` hears after every block. If it returns True the fit ends there, with what it has.

    Attributes:
        block: how many blocks are done.
        n_iter: the most steps that a restart has taken.
        max_iter: their limit.
        n_restarts, n_active: restarts in all, and still running; in a race those of the batch at hand.
        best: the highest mean log-likelihood so far among sound restarts, nats per row.
        rows: restart-rows read so far: the sum over restarts of the rows they read.
    """

    block: int
    n_iter: int
    max_iter: int
    n_restarts: int
    n_active: int
    best: float
    rows: float


#: what is called between blocks; True ends the fit there
OnBlock = Callable[[BlockInfo], bool | None]


@trees.register_dataclass
@dataclass(frozen=True, eq=False)
class Restarts:
    """How restarts ended: NumPy arrays over restarts r, or over data sets and restarts (p, r).

    `restarts[index]` are some of them, `Restarts.joined` puts several records after one another.

    Attributes:
        mixtures: leading axis r, or axes p, r.
        log_likelihood: weighted sums over rows, nats.
        log_prior: of the parameters, nats, up to a constant that all restarts share; 0 without a prior.
        status: values of `Status`.
        n_iter: steps taken.
        passes: how many times the rows were read, in whole data sets.
        kernel: the kernel that each restart ended on.
        revivals: how often collapsed components were put elsewhere.
        moves: how many jumps out of an optimum led to each mixture; 0 without a race.
        remaining: nats that are predicted still to be gained; NaN where that is unknown.
        spurious: whether some component makes it unsound; False until it is judged (`judged`).
        owed: nats that it owes to such components; 0 until it is judged.
    """

    mixtures: Mixture
    log_likelihood: Float[np.ndarray, "*p r"]
    log_prior: Float[np.ndarray, "*p r"]
    status: Int[np.ndarray, "*p r"]
    n_iter: Int[np.ndarray, "*p r"]
    passes: Float[np.ndarray, "*p r"]
    kernel: Shaped[np.ndarray, "*p r"]
    revivals: Int[np.ndarray, "*p r"]
    moves: Int[np.ndarray, "*p r"]
    remaining: Float[np.ndarray, "*p r"]
    spurious: Bool[np.ndarray, "*p r"]
    owed: Float[np.ndarray, "*p r"]

    @classmethod
    def at_start(cls, mixtures: Mixture) -> Restarts:
        """Restarts that have not run yet."""
        shape = mixtures.batch_shape
        return cls(
            mixtures=mixtures,
            log_likelihood=np.full(shape, -np.inf),
            log_prior=np.zeros(shape),
            status=np.full(shape, int(Status.RUNNING), np.int32),
            n_iter=np.zeros(shape, np.int32),
            passes=np.zeros(shape),
            kernel=np.full(shape, "", f"<U{max(map(len, KERNEL_NAMES))}"),
            revivals=np.zeros(shape, np.int32),
            moves=np.zeros(shape, np.int32),
            remaining=np.full(shape, np.nan),
            spurious=np.zeros(shape, bool),
            owed=np.zeros(shape),
        )

    @classmethod
    def joined(cls, parts: Sequence[Restarts]) -> Restarts:
        """The restarts of several records, one after the other along the first axis."""
        return parts[0] if len(parts) == 1 else trees.map(lambda *leaves: np.concatenate(leaves), *parts)

    def __len__(self) -> int:
        return len(self.status)

    def __getitem__(self, index: Any) -> Restarts:
        return trees.map(lambda leaf: leaf[index], self)

    def placed(self, index: Any, others: Restarts) -> Restarts:
        """This record with `others` in the places `index`."""

        def put(own: Any, new: Any) -> Any:
            own = np.array(own)
            own[index] = new
            return own

        return trees.map(put, self, others)

    def reshaped(self, *shape: int) -> Restarts:
        """The same restarts with these axes in place of the first."""
        return trees.map(lambda leaf: np.reshape(leaf, (*shape, *leaf.shape[1:])), self)

    def judged(self, spurious: Bool[np.ndarray, "*p r"], owed: Float[np.ndarray, "*p r"]) -> Restarts:
        """This record with what `soundness` has found of its mixtures."""
        return replace(self, spurious=spurious, owed=owed)

    @property
    def log_posterior(self) -> Float[np.ndarray, "*p r"]:
        """Log-likelihood and log-prior together, nats: what EM raises."""
        return self.log_likelihood + self.log_prior

    @property
    def worth(self) -> Float[np.ndarray, "*p r"]:
        """What restarts are compared by, nats: `log_posterior` less what they owe to spurious components."""
        return self.log_posterior - self.owed


@trees.register_dataclass
@dataclass(frozen=True, eq=False)
class Ended:
    """How a run of restarts ended.

    Attributes:
        restarts: the record, over r.
        history: (r, longest + 1), mean log-likelihoods at the start and after each step; NaN past a restart's end.
        cut_short: why the run was ended from outside; None if it was not.
    """

    restarts: Restarts
    history: Float[np.ndarray, "r t"]
    cut_short: Status | None = field(default=None, metadata={"static": True})

    @classmethod
    def joined(cls, parts: Sequence[Ended]) -> Ended:
        """Runs of other restarts of the same problem, one after the other, as one."""
        if len(parts) == 1:
            return parts[0]
        longest = max(part.history.shape[1] for part in parts)
        spare = [((0, 0), (0, longest - part.history.shape[1])) for part in parts]
        histories = [np.pad(p.history, room, constant_values=np.nan) for p, room in zip(parts, spare, strict=True)]
        cut_short = next((part.cut_short for part in parts if part.cut_short), None)
        return cls(Restarts.joined([part.restarts for part in parts]), np.concatenate(histories), cut_short)

    def __getitem__(self, index: slice) -> Ended:
        return replace(self, restarts=self.restarts[index], history=self.history[index])


class History:
    """Every restart's values in the order of its own steps, NaN where it has none; room doubles as it runs out."""

    def __init__(self, values: Float[np.ndarray, "r t"]) -> None:
        self.values = values

    def write(self, restart: int | np.integer, place: int | np.integer, values: Float[np.ndarray, " s"]) -> None:
        """`values` of `restart` from step `place` on."""
        held, end = self.values.shape[1], place + len(values)
        if end > held:
            self.values = np.pad(self.values, ((0, 0), (0, max(end, 2 * held) - held)), constant_values=np.nan)
        self.values[restart, place:end] = values

    def until(self, length: int) -> Float[np.ndarray, "r length"]:
        """The first `length` places."""
        return self.values[:, :length]
