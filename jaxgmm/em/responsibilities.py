"""How much of each row goes to each component, from joint log-probabilities: softly by default, or all to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxgmm.families.namespace import namespace
from jaxgmm.inputs.typing import Array, Bool, Float

#: From log π_k p(x_n | k), (k, b), the rows' weights w, (b,), and which components are possible, (k, b) or None, to
#: responsibilities w_n r_kn, (k, b), and what each row adds to the objective, (b,), in nats.
#: `mixture.posterior` is the one of EM: what it adds up is the log-likelihood.
Assign = Callable[[Array, Array, Array | None], tuple[Array, Array]]


def hard(
    joint: Float[Array, "*r k b"], w: Float[Array, "*#r b"] | float = 1.0, possible: Bool[Array, "k b"] | None = None
) -> tuple[Float[Array, "*r k b"], Float[Array, "*r b"]]:
    """Every row whole to its likeliest component, the first of several; and max_k log π_k p(x_n | k).

    What that adds up to is the classification log-likelihood (Celeux & Govaert 1992).
    """
    xp = namespace(joint)
    if possible is not None:
        joint = xp.where(possible, joint, -xp.inf)
    likeliest = xp.argmax(joint, axis=-2)
    chosen = xp.arange(joint.shape[-2])[:, None] == likeliest[..., None, :]
    return xp.where(chosen, _over_components(w), 0.0), xp.max(joint, axis=-2)


def _over_components(w: Any) -> Any:
    """Weights of rows, (..., b), beside (..., k, b)."""
    return w if isinstance(w, float) else w[..., None, :]
