"""Classification EM: every row belongs whole to one component."""

from __future__ import annotations

from dataclasses import dataclass

from jaxgmm.drivers.em import EM
from jaxgmm.em.responsibilities import hard
from jaxgmm.inputs import trees
from jaxgmm.inputs.typing import Array, Bool, Float


@trees.register_dataclass
@dataclass(frozen=True)
class HardEM(EM):
    """Classification EM (Celeux & Govaert 1992, Computational Statistics & Data Analysis 14): EM with whole rows.

    Each row goes to its likeliest component, z_n = argmax_k π_k p(x_n | k), and each component is fitted to its rows.
    With equal weights and one shared spherical covariance, both held by `Fixed`, that is k-means. It ends after few
    steps, for good: no row changes its component any more.

    What it raises is the *classification* log-likelihood Σ_n w_n log π_z p(x_n | z), which never falls; with a prior,
    together with that. `tol`, `FitResult.history` and `FitResult.remaining` are about it. `FitResult.log_likelihood`
    is the mixture's, as for every driver, read in one more pass at the end: so results can be compared, and the best
    restart is the best density.

    Where components overlap it is biased: they come out narrower and further apart than they are, as the tails that
    reach into a neighbour are counted there. Take it to find clusters fast, or for starts of EM.

    Example:
        >>> jaxgmm.fit(0, x, 3, driver=jaxgmm.HardEM(), n_init=16)
    """

    def assign(
        self, joint: Float[Array, "*r k b"], w: Float[Array, "*#r b"], possible: Bool[Array, "k b"] | None
    ) -> tuple[Float[Array, "*r k b"], Float[Array, "*r b"]]:
        return hard(joint, w, possible)

    @property
    def climbs_likelihood(self) -> bool:
        return False

    @property
    def on_host(self) -> bool:
        return type(self) is HardEM
