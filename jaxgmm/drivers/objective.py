"""The log-likelihood as an ordinary differentiable function, at the price of one pass.

By Fisher's identity ∇ log L(θ) = ∇_θ' Q(θ'; S(θ)) at θ' = θ: the gradient is read off the statistics the pass
returned, so nothing is differentiated through the rows, and chunks, kernels and places for rows need no rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxgmm.drivers.parameters import Free, log_weights, unconstrained
from jaxgmm.em import EStep, Penalty, Pinned, SufficientStatistics, expected_log_likelihood, log_prior
from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.typing import Array, Float
from jaxgmm.mixture import Mixture


def origin(anchor: Mixture) -> Free:
    """The free parameters of `anchor` about itself: zeros. (Softmax weights, log-diagonal factors.)"""
    return trees.map(jnp.zeros_like, unconstrained(anchor))


def about(anchor: Mixture, free: Free, pinned: Pinned | None = None) -> Mixture:
    """The mixture that `free` describes relative to `anchor`: means in its standard deviations, factors in its own.

    What is `pinned` does not follow, and so has no slope.
    """
    components = anchor.components
    weights = jax.nn.softmax(log_weights(anchor) + free["logits"])
    mixture = Mixture(weights, components.compose(components.constrain(free["components"])))
    return mixture if pinned is None else pinned.within(mixture)


def log_likelihood(e_step: Callable[[Mixture], SufficientStatistics]) -> Callable[[Mixture], tuple[Array, Any]]:
    """Mixture ↦ (log-likelihood, all its statistics), the first of which has a gradient that costs no second pass."""

    @jax.custom_vjp
    def value(mixture: Mixture) -> tuple[Array, SufficientStatistics]:
        statistics = e_step(mixture)
        return statistics.log_likelihood, statistics

    def forward(mixture: Mixture) -> tuple[Any, Any]:
        values = value(mixture)
        return values, (mixture, values[1])

    def backward(kept: Any, cotangent: Any) -> tuple[Mixture]:
        mixture, statistics = kept
        no_ridge = jnp.zeros(mixture.components.n_features, mixture.weights.dtype)
        gradient = jax.grad(lambda other: expected_log_likelihood(mixture, statistics, other, no_ridge))(mixture)
        return (trees.map(lambda g: g * cotangent[0], gradient),)

    value.defvjp(forward, backward)
    return value


def loss(
    anchor: Mixture, e_step: EStep, pinned: Pinned | None = None
) -> Callable[[Free], tuple[Array, SufficientStatistics]]:
    """−(mean log-likelihood) of free parameters about `anchor`; beside it the statistics it was read off."""
    value = log_likelihood(e_step)

    def function(free: Free) -> tuple[Array, SufficientStatistics]:
        log_p, statistics = value(about(anchor, free, pinned))
        statistics = jax.lax.stop_gradient(statistics)
        return -log_p / statistics.total_weight, statistics

    return function


def price(
    anchor: Mixture, shares: Float[Array, " k"], penalty: Penalty, total_weight: Float[Array, ""]
) -> Callable[[Free], Array]:
    """What the penalty costs per row, of free parameters about `anchor`, in nats.

    The ridge R costs ½ Σ_k s_k tr(R Rᵀ Σ_k⁻¹), EM's with s_k = N_k / N. Taken at the weights a step sets out from, and
    held there for the step, it leaves gradients with EM's own fixed points, and a line search with a function that its
    gradient belongs to.
    """

    def function(free: Free) -> Array:
        mixture = about(anchor, free, penalty.pinned)
        cost = 0.5 * jnp.sum(shares * mixture.components.ridge_trace(penalty.ridge))
        return cost if penalty.prior is None else cost - log_prior(mixture, penalty.prior) / total_weight

    return function
