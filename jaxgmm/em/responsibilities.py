"""How much of each row goes to each component, from joint log-probabilities: softly by default, or all to one."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Bool, Float

from jaxgmm.inputs.typing import Array

#: From log π_k p(x_n | k), (k, b), the rows' weights w, (b,), and which components are possible, (k, b) or None, to
#: responsibilities w_n r_kn, (k, b), and what each row adds to the objective, (b,), in nats.
#: `mixture.posterior` is the one of EM: what it adds up is the log-likelihood.
Assign = Callable[[Array, Array, Array | None], tuple[Array, Array]]


def hard(
    joint: Float[Array, "k b"], w: Float[Array, " b"] | float = 1.0, possible: Bool[Array, "k b"] | None = None
) -> tuple[Float[Array, "k b"], Float[Array, " b"]]:
    """Every row whole to its likeliest component, the first of several; and max_k log π_k p(x_n | k).

    What that adds up to is the classification log-likelihood (Celeux & Govaert 1992).
    """
    if possible is not None:
        joint = jnp.where(possible, joint, -jnp.inf)
    likeliest = jnp.argmax(joint, axis=0)
    chosen = jnp.arange(joint.shape[0])[:, None] == likeliest
    return jnp.where(chosen, w, 0.0), jnp.max(joint, axis=0)
