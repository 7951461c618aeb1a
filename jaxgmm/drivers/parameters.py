"""A mixture as free real numbers, and back: where drivers add and scale."""

from __future__ import annotations

from typing import Any

from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.typing import Array, Float
from jaxgmm.mixture import Mixture

#: free parameters of a mixture: "logits" (k,), and "components" as the family has them
Free = dict[str, Any]


def unconstrained(mixture: Mixture) -> Free:
    """The free parameters of `mixture`: the logarithms of its weights, and `Family.unconstrain`."""
    return {"logits": log_weights(mixture), "components": mixture.components.unconstrain()}


def log_weights(mixture: Mixture) -> Float[Array, "*r k"]:
    """The logarithms of the weights, finite where there are none."""
    return jnp.log(jnp.maximum(mixture.weights, jnp.finfo(mixture.weights.dtype).tiny))


def constrained(free: Free, like: Mixture) -> Mixture:
    """The mixture that `free` stands for: every value gives a valid one. Undoes `unconstrained`.

    Args:
        free: free parameters.
        like: a mixture of that family. The components that have no weight in it have none, and are as they are there.
    """
    absent = like.weights == 0
    components = type(like.components).constrain(free["components"])
    return Mixture(jax.nn.softmax(free["logits"], where=~absent), components.with_replaced(absent, like.components))
