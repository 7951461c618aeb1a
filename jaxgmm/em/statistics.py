"""What one pass over the rows returns: the only thing the drivers ever learn about the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jnp
from jaxgmm.inputs.typing import Array, Float


@trees.register_dataclass
@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over rows under the responsibilities r_kn of a mixture θ, each row times its sample weight w_n.

    The moments are about θ itself (for Gaussians in its whitened coordinates), so two statistics add up only
    when they come from the same θ: halves of the data, chunks, shards, blocks of a file.

    Attributes:
        log_likelihood: Σ_n w_n log p(x_n | θ), in nats.
        log_likelihood_error: what rounding dropped from that sum; the exact sum is nearer to the two together.
        total_weight: Σ_n w_n.
        counts: N_k = Σ_n w_n r_kn.
        moments: the family's own sums (see `families.base.Family.moments`).
        conditioning: the largest κ of θ, which says which kernels can be trusted with it.
    """

    log_likelihood: Float[Array, "*r"]
    log_likelihood_error: Float[Array, "*r"]
    total_weight: Float[Array, "*r"]
    counts: Float[Array, "*r k"]
    moments: Any
    conditioning: Float[Array, "*r"]

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        total = trees.map(jnp.add, self, other)
        return replace(total, conditioning=jnp.maximum(self.conditioning, other.conditioning))
