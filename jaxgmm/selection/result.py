"""What a selection says: a cell for every covariance type and K, and the winner among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgmm.fit.result import FitResult
from jaxgmm.mixture import Mixture
from jaxgmm.run.status import SOUND, Status

#: what cells may be compared by, and what it is called
CRITERIA = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "heldout": "−held-out score", "cv": "−cross-validated score"}


@dataclass(frozen=True)
class Cell:
    """The best mixture of one covariance type and one K.

    Attributes:
        covariance_type, n_components: which.
        n_parameters: free ones.
        log_likelihood: of all rows, nats: the weighted sum; NaN where there is no mixture.
        criterion: the lower, the better. "bic", "aic" and "icl" in nats, as `Mixture.bic`; "heldout" and "cv" minus
            the mean log-likelihood of rows that the mixture had not seen, nats per row. NaN where it is missing.
        standard_error: of that, for "cv" over folds, for "heldout" over rows; NaN for the others.
        status: how its best restart ended; None where none ran.
        spurious: whether all its restarts that ended soundly are spurious; see `FitResult.spurious`.
        note: why it cannot win; empty if it can.
    """

    covariance_type: str
    n_components: int
    n_parameters: int
    log_likelihood: float = np.nan
    criterion: float = np.nan
    standard_error: float = np.nan
    status: Status | None = None
    spurious: bool = False
    note: str = ""

    @property
    def eligible(self) -> bool:
        """Whether it may win: it ended soundly, is not spurious, and has a criterion."""
        return not self.note and self.status in SOUND and not self.spurious and bool(np.isfinite(self.criterion))


@dataclass(frozen=True, repr=False, eq=False)
class SelectionResult:
    """What `select` found.

    Attributes:
        table: all cells: covariance types in the order asked for, in each K ascending.
        criterion: what they are compared by.
        best: the winner, fitted to all rows, with all its restarts.
        total_weight: the rows' number, or the sum of their weights: n in BIC.
        seconds: wall time, compilation included.
    """

    table: tuple[Cell, ...]
    criterion: str
    best: FitResult
    total_weight: float
    seconds: float

    @property
    def covariance_type(self) -> str:
        """The winner's."""
        return self.best.mixture.covariance_type

    @property
    def n_components(self) -> int:
        """The winner's K."""
        return self.best.mixture.n_components

    @property
    def winner(self) -> Cell:
        """The winner's cell."""
        return self.cell(self.covariance_type, self.n_components)

    def cell(self, covariance_type: str, n_components: int) -> Cell:
        """One cell of the table.

        Raises:
            KeyError: there is no such cell.
        """
        for cell in self.table:
            if (cell.covariance_type, cell.n_components) == (covariance_type, n_components):
                return cell
        raise KeyError(f"no cell for {covariance_type!r} with {n_components} components")

    @property
    def covariance_types(self) -> tuple[str, ...]:
        """The columns of the table."""
        return tuple(dict.fromkeys(cell.covariance_type for cell in self.table))

    @property
    def axis_label(self) -> str:
        """What the criterion is called beside an axis, with its unit where that is not nats in total."""
        return CRITERIA[self.criterion] + (", nats per row" if self.criterion in ("heldout", "cv") else "")

    def sorted(self, by: str | Callable[[Mixture], Any] = "weight", feature: int = 0) -> SelectionResult:
        """The same result, the winner's components in another order: see `Mixture.sorted`."""
        return replace(self, best=self.best.sorted(by, feature))

    def plot(self, ax: Any = None) -> Any:
        """The criterion against K, a line for each covariance type; see `jaxgmm.plotting.plot_selection`."""
        from jaxgmm.plotting import plot_selection  # matplotlib is loaded only by those who draw

        return plot_selection(self, ax=ax)

    def __repr__(self) -> str:
        won = self.winner
        error = f" ± {won.standard_error:.2g}" if np.isfinite(won.standard_error) else ""
        kinds, rows = self.covariance_types, [["K"]]
        rows[0] += kinds
        for k in sorted({cell.n_components for cell in self.table}):
            rows.append([str(k), *(self._shown(self.cell(kind, k)) for kind in kinds)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
        marks = "* the winner"
        if any(not cell.eligible and np.isfinite(cell.criterion) for cell in self.table):
            marks += ", ! cannot win"
        return "\n".join([
            f"SelectionResult({self.covariance_type}, {self.n_components} components, {CRITERIA[self.criterion]} "
            f"{_number(won.criterion)}{error}; lower is better)",
            *lines,
            marks,
        ])  # fmt: skip

    def _shown(self, cell: Cell) -> str:
        if not np.isfinite(cell.criterion):
            return "–  "
        mark = "*" if cell is self.winner else " " if cell.eligible else "!"
        return f"{_number(cell.criterion)} {mark}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 100 else f"{value:.5f}"
