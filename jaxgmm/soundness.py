"""What is wrong with a mixture, component by component."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgmm.mixture import Mixture
from jaxgmm.pinned import Pinned
from jaxgmm.programs import compiled
from jaxgmm.status import Status

# A handful: fewer rows than this many times what its parameters need to be more than a spike.
_HANDFUL = 2
# In some direction such a component is nothing but ridge when Σ⁻¹ times the ridge has a trace above this.
_RIDGE = 0.5
# A handful of rows is suspect when this much narrower than the mixture's components usually are.
_NARROW = 0.1


class Faults(NamedTuple):
    """What is wrong with one mixture.

    Attributes:
        status: RUNNING where nothing is, else DEGENERATE or NON_FINITE.
        collapsed: (k,), the components that lost their rows or collapsed onto a few of them.
    """

    status: Int[Array, ""]
    collapsed: Bool[Array, " k"]


def faults(
    mixture: Mixture, log_likelihood: Float[Array, ""], lenient: Bool[Array, ""], *, floor: Float[Array, " d"],
    n_rows: Int[Array, ""], keep: Bool[Array, ""], present: Bool[Array, " k"] | bool = True,
    pinned: Pinned | None = None,
) -> Faults:  # fmt: skip
    """The faults of `mixture`; with `keep` collapsed components are none as long as everything is finite.

    Args:
        lenient: whether a component may be a handful of rows with hardly any width but the ridge's.
        floor: that width per feature; 0 where the data are no wider themselves.
        present: which components there are: nothing is wrong with the others.
        pinned: what is held: a width that was given is no collapse, and a component of which all but the weight was
            given may come to have no rows.
    """
    weights, components = mixture.weights, mixture.components
    weightless = weights <= 10 * jnp.finfo(weights.dtype).eps
    few = weights * n_rows < _HANDFUL * components.rows_to_span
    narrow = components.collapsed() | (~lenient & few & (components.ridge_trace(floor) > _RIDGE))
    if pinned is not None:
        weightless, narrow = weightless & ~pinned.shapes, narrow & ~pinned.covariances
    collapsed = present & (weightless | narrow)
    # Collapse leaves the means finite and the factors not; anything else that is not finite is another fault.
    lost = ~jnp.all(jnp.isfinite(components.means)) | ~jnp.all(jnp.isfinite(weights))
    degenerate = jnp.any(collapsed)
    fault = jnp.where(degenerate & ~keep, Status.DEGENERATE, Status.RUNNING)
    infinite = ~jnp.isfinite(log_likelihood) & (~degenerate | keep)
    return Faults(jnp.where(lost | infinite, Status.NON_FINITE, fault).astype(jnp.int32), collapsed)


def spurious(
    mixture: Mixture, floor: Float[Array, " d"], n_rows: Int[Array, ""], given: Bool[Array, " k"] | bool = False
) -> Bool[Array, " k"]:
    """Which components owe their likelihood to a handful of rows: few of them, and narrow without good reason.

    That is far narrower than the mixture's components usually are, or in some direction nothing but ridge. A width that
    was `given` is good reason.
    """
    weights, components = mixture.weights, mixture.components
    width = components.log_width()
    narrow = width < jnp.sum(weights * width) + np.log(_NARROW)
    few = weights * n_rows < _HANDFUL * components.rows_to_span
    return few & (weights > 0) & ~jnp.asarray(given) & (narrow | (components.ridge_trace(floor) > _RIDGE))


#: `spurious` of restarts, (r, k); compiled, as loops over factors would otherwise be at every call
spurious_of = compiled(jax.vmap(spurious, (0, None, 0, None)))
