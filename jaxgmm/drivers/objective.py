"""The log-likelihood as an ordinary differentiable function, at the price of one pass.

By Fisher's identity ∇ log L(θ) = ∇_θ' Q(θ'; S(θ)) at θ' = θ: the gradient is read off the statistics the pass
returned, so nothing is differentiated through the rows, and chunks, kernels and places for rows need no rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgmm.drivers.base import EStep
from jaxgmm.em import expected_log_likelihood
from jaxgmm.families import Family
from jaxgmm.families.base import Root
from jaxgmm.mixture import Mixture
from jaxgmm.statistics import SufficientStatistics


def unconstrain(mixture: Mixture) -> dict[str, Any]:
    """Free parameters: logits of the weights, and the components' own."""
    tiny = jnp.finfo(mixture.weights.dtype).tiny
    return {"logits": jnp.log(jnp.maximum(mixture.weights, tiny)), "components": mixture.components.unconstrain()}


def constrain(family: type[Family], free: dict[str, Any]) -> Mixture:
    """Undoes `unconstrain`."""
    return Mixture(jax.nn.softmax(free["logits"]), family.constrain(free["components"]))


def log_likelihood(e_step: EStep) -> Callable[[Mixture], tuple[Array, Array, Array]]:
    """Mixture ↦ (log-likelihood, its rounding error, total weight), whose gradient costs no second pass."""

    def evaluate(mixture: Mixture) -> tuple[tuple[Array, Array, Array], SufficientStatistics]:
        statistics = e_step(mixture)
        return (statistics.log_likelihood, statistics.log_likelihood_error, statistics.total_weight), statistics

    @jax.custom_vjp
    def value(mixture: Mixture) -> tuple[Array, Array, Array]:
        return evaluate(mixture)[0]

    def forward(mixture: Mixture) -> tuple[Any, Any]:
        values, statistics = evaluate(mixture)
        return values, (mixture, statistics)

    def backward(kept: Any, cotangent: Any) -> tuple[Mixture]:
        mixture, statistics = kept
        no_ridge = jnp.zeros(mixture.components.n_features, mixture.weights.dtype)
        gradient = jax.grad(lambda other: expected_log_likelihood(mixture, statistics, other, no_ridge))(mixture)
        return (jax.tree.map(lambda g: g * cotangent[0], gradient),)

    value.defvjp(forward, backward)
    return value


def loss(family: type[Family], e_step: EStep) -> Callable[[dict[str, Any]], tuple[Array, tuple[Array, Array, Array]]]:
    """−(mean log-likelihood) of free parameters; beside it what `log_likelihood` returns."""
    value = log_likelihood(e_step)

    def function(free: dict[str, Any]) -> tuple[Array, tuple[Array, Array, Array]]:
        log_p, error, total_weight = value(constrain(family, free))
        total_weight = jax.lax.stop_gradient(total_weight)
        return -log_p / total_weight, (log_p, error, total_weight)

    return function


def ridge_price(
    family: type[Family], shares: Float[Array, " k"], ridge: Root
) -> Callable[[dict[str, Any]], Float[Array, ""]]:
    """½ Σ_k s_k tr(diag(ridge) Σ_k⁻¹) per row, of free parameters.

    EM's ridge costs this with s_k = N_k / N. Taken at the weights a step sets out from, and held there for the step,
    it leaves gradients with EM's own fixed points, and a line search with a function that its gradient belongs to.
    """
    return lambda free: 0.5 * jnp.sum(shares * constrain(family, free).components.ridge_trace(ridge))
