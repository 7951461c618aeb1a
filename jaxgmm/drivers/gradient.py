"""Gradient ascent of the log-likelihood with any optax optimizer, over the same pass as EM."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import optax

from jaxgmm.drivers.base import Driver, State
from jaxgmm.drivers.objective import Free, about, loss, origin, price
from jaxgmm.em import EStep, Penalty, log_prior
from jaxgmm.inputs import arguments, trees
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.typing import Array, Float, Int, Key
from jaxgmm.mixture import Mixture
from jaxgmm.rows import Rows

#: optimizers that go by a name, and the settings they start from
_NAMED: dict[str, tuple[Callable[..., Any], dict[str, float]]] = {
    "adam": (optax.adam, {"learning_rate": 0.05}),
    "lbfgs": (optax.lbfgs, {}),
    "sgd": (optax.sgd, {"learning_rate": 0.1}),
}


class _Memory(NamedTuple):
    anchor: Mixture
    free: Free
    optimizer: Any
    loss: Float[Array, ""]
    gradient: Any
    total_weight: Float[Array, ""]


@jax.tree_util.register_pytree_node_class
class Gradient(Driver):
    """Maximum likelihood by an optax optimizer, in free parameters (softmax weights, log-diagonal factors).

    Free parameters are relative to the start: a step in a mean is in standard deviations of its component. The loss
    is the negative mean log-likelihood per row, so learning rates do not depend on the number of rows. The ridge
    enters so that the fixed points are those of EM.

    Args:
        optimizer: "adam", "lbfgs", "sgd"; or an optax factory such as `optax.adamw`, whose numeric `settings` may
            then change without recompiling; or a ready `optax.GradientTransformation` (each new object compiles anew).
        batch_size: rows drawn afresh, with replacement, for every step; all of them by default. Then one step's gain
            is noise, so `tol` is compared with the gain per step on all rows, measured between blocks of steps.
        settings: keyword arguments of the factory: numbers, or schedules.

    Example:
        >>> jaxgmm.fit(0, x, 3, driver=jaxgmm.Gradient(optax.adam, learning_rate=0.05))
        >>> jaxgmm.fit(0, x, 3, driver=jaxgmm.Gradient("lbfgs"))

    Raises:
        ValueError, TypeError: not an optimizer, settings without a factory, or settings that it does not have.
    """

    def __init__(self, optimizer: Any = "adam", *, batch_size: int | None = None, **settings: Any) -> None:
        if isinstance(optimizer, str):
            factory, defaults = _NAMED[arguments.choice("optimizer", optimizer, _NAMED)]
            optimizer, settings = factory, defaults | settings
        elif isinstance(optimizer, optax.GradientTransformation):
            if settings:
                wants = f"be an optax factory (optax.adam, not optax.adam(...)) to take the settings {sorted(settings)}"
                raise ArgumentError("optimizer", wants, type(optimizer).__name__)
        elif not callable(optimizer):
            wants = "be a name, an optax factory or an optax.GradientTransformation"
            raise ArgumentTypeError("optimizer", wants, arguments.shown(optimizer))
        if not isinstance(optimizer, optax.GradientTransformation):
            _check_settings(optimizer, settings)
        if batch_size is not None:
            batch_size = arguments.integer("batch_size", batch_size, 1)
        # Whole numbers are sizes and switches to a factory; only what varies continuously is traced.
        is_number = lambda v: isinstance(v, float | np.floating | np.ndarray | jax.Array)  # noqa: E731
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.numbers = {name: value for name, value in settings.items() if is_number(value)}
        rate = settings.get("learning_rate", 1.0)
        if not callable(rate) and np.ndim(rate) == 0 and arguments.real("learning_rate", rate) == 0:
            raise ArgumentError("learning_rate", "be above 0", "0")
        self.settings = tuple(sorted((name, v) for name, v in settings.items() if name not in self.numbers))
        self._transformation()  # a wrong setting should fail here, where the user stands

    def tree_flatten(self) -> tuple[tuple[dict[str, Any]], tuple[Any, ...]]:
        return (self.numbers,), (self.optimizer, self.batch_size, self.settings)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[dict[str, Any]]) -> Gradient:
        driver = object.__new__(cls)
        (driver.numbers,) = leaves
        driver.optimizer, driver.batch_size, driver.settings = static
        return driver

    def _transformation(self) -> optax.GradientTransformationExtraArgs:
        optimizer = self.optimizer
        if not isinstance(optimizer, optax.GradientTransformation):
            optimizer = optimizer(**self.numbers, **dict(self.settings))
        return optax.with_extra_args_support(optimizer)

    @property
    def searches(self) -> bool:
        state = jax.eval_shape(self._transformation().init, jax.ShapeDtypeStruct((1,), np.float32))
        return optax.tree.get(state, "num_linesearch_steps") is not None

    @property
    def stochastic(self) -> bool:
        return self.batch_size is not None

    def share_of_rows(self, n_rows: int) -> float:
        return 1.0 if self.batch_size is None else self.batch_size / n_rows

    def rows(self, rows: Any, key: Key[Array, ""], iteration: Int[Array, ""]) -> Rows:
        if self.batch_size is None:
            return rows
        index = jax.random.randint(jax.random.fold_in(key, iteration), (self.batch_size,), 0, rows.n_rows, jnp.int32)
        batch = rows.take(index)  # all with weight: `fit` leaves rows without it out
        # Weighed up to the whole, so that sums over the batch estimate sums over all rows.
        ratio = rows.total_weight / batch.total_weight
        return replace(batch, weights=batch.weights * ratio, total_weight=rows.total_weight)

    def init(self, mixture: Mixture, e_step: EStep, penalty: Penalty) -> State:
        free = origin(mixture)
        none_yet = jnp.zeros((), mixture.weights.dtype)
        return _evaluated(mixture, free, self._transformation().init(free), none_yet, e_step, penalty)

    def renewed(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        memory: _Memory = state.memory
        return _evaluated(memory.anchor, memory.free, memory.optimizer, state.passes, e_step, penalty)

    def step(self, state: State, e_step: EStep, penalty: Penalty) -> State:
        memory: _Memory = state.memory
        likelihood = loss(memory.anchor, e_step, penalty.pinned)
        cost_of = price(memory.anchor, state.mixture.weights, penalty, memory.total_weight)
        priced = jax.value_and_grad(cost_of)
        cost, slope = priced(memory.free)
        gradient = trees.map(jnp.add, memory.gradient, slope)

        def probed(free: Free) -> Array:
            value, statistics = likelihood(free)
            # Where the kernel cannot be trusted nothing is known: a search must not go by it, and keeps away.
            return jnp.where(e_step.trusts(statistics), value + cost_of(free), jnp.inf)

        with jax.default_matmul_precision("highest"):
            updates, optimizer = self._transformation().update(
                gradient, memory.optimizer, memory.free,
                value=memory.loss + cost, grad=gradient, value_fn=probed,
            )  # fmt: skip
        free = optax.apply_updates(memory.free, updates)
        cost, slope = priced(free)
        searched = optax.tree.get(optimizer, "num_linesearch_steps")
        if searched is None:
            return _evaluated(memory.anchor, free, optimizer, state.passes, e_step, penalty)
        passes = state.passes + searched
        # A search whose last probe was kept away is to be repeated with a kernel that can be trusted there.
        kept_away = jnp.isinf(optax.tree.get(optimizer, "decrease_error", 0.0))
        kappa = jnp.where(kept_away, jnp.inf, jnp.zeros_like(cost))
        found = optax.tree.get(optimizer, "grad")
        if found is None or self.stochastic:
            new = _evaluated(memory.anchor, free, optimizer, passes, e_step, penalty)
            return replace(new, conditioning=jnp.maximum(new.conditioning, kappa))
        # The line search has been where the step ends, and kept what it saw: no second pass.
        value = optax.tree.get(optimizer, "value") - cost
        log_p = -value * memory.total_weight
        kept = memory._replace(
            free=free, optimizer=optimizer, loss=value, gradient=trees.map(jnp.subtract, found, slope)
        )
        there = about(memory.anchor, free, penalty.pinned)
        none = jnp.zeros_like(log_p)
        known = none if penalty.prior is None else log_prior(there, penalty.prior)
        return State(there, log_p, none, known, passes, kappa, kept)


def _check_settings(factory: Callable[..., Any], settings: dict[str, Any]) -> None:
    """Refuses names that an optax factory does not take, and the lack of those it cannot do without.

    Raises:
        TypeError: naming the setting and, if need be, the nearest one there is.
    """
    name = getattr(factory, "__name__", repr(factory))
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a callable that does not tell
        return
    if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        for wrong in settings.keys() - parameters.keys():
            wants = f"be one of {', '.join(parameters)} for optimizer {name}"
            raise ArgumentTypeError("settings", wants, repr(wrong), arguments.did_you_mean(wrong, parameters))
    for wanted, parameter in parameters.items():
        optional = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if parameter.default is inspect.Parameter.empty and not optional and wanted not in settings:
            hint = f"Gradient(optax.{name}, {wanted}=...) gives it"
            raise ArgumentTypeError("settings", f"hold {wanted!r} for optimizer {name}", str(sorted(settings)), hint)


def _evaluated(anchor: Mixture, free: Free, optimizer: Any, passes: Array, e_step: EStep, penalty: Penalty) -> State:
    """The state at `free`, by a pass of its own."""
    priced = jax.value_and_grad(loss(anchor, e_step, penalty.pinned), has_aux=True)
    (value, statistics), gradient = priced(free)
    kept = _Memory(anchor, free, optimizer, value, gradient, statistics.total_weight)
    return State.at(about(anchor, free, penalty.pinned), statistics, penalty, passes, memory=kept)
