"""One pass over the rows as drivers see it: they give a mixture, and get its statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxgmm.em.responsibilities import Assign
from jaxgmm.em.statistics import SufficientStatistics
from jaxgmm.em.steps import e_step
from jaxgmm.families.namespace import namespace
from jaxgmm.inputs.typing import Array, Bool, Float
from jaxgmm.mixture import Mixture, posterior
from jaxgmm.rows import Rows


def trusted(kappa: Float[Array, "*r"], limit: Float[Array, ""] | float) -> Bool[Array, "*r"]:
    """Whether a kernel that is right up to κ = `limit` can be believed at `kappa`; without a limit, always."""
    return namespace(kappa, limit).isinf(limit) | (kappa <= limit)


@dataclass(frozen=True)
class EStep:
    """`e_step` with everything but the mixture settled: a driver's only sight of the data.

    Attributes:
        rows, kernel, chunk, assign: as `e_step` has them.
        limit: the κ up to which statistics by this kernel can be trusted.

    Example:
        >>> estep = EStep(rows)
        >>> estep(mixture).log_likelihood
    """

    rows: Rows
    kernel: str = "centred"
    chunk: int | None = None
    assign: Assign = posterior
    limit: Float[Array, ""] | float = np.inf

    def __call__(self, mixture: Mixture) -> SufficientStatistics:
        """The statistics of the rows under `mixture`: one pass."""
        return e_step(mixture, self.rows, kernel=self.kernel, chunk=self.chunk, assign=self.assign)

    def trusts(self, statistics: SufficientStatistics) -> Bool[Array, ""]:
        """Whether `statistics` are of a mixture that the kernel can be believed at."""
        return trusted(statistics.conditioning, self.limit)
