"""Mixtures that somebody else has built: what must hold of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgmm.families.constraints import constraints
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.lazily import jax


def mixture_shapes(name: str, family: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses parameters of `family` whose shapes, `weights` among them, do not belong together.

    Raises:
        ValueError: naming the parameter, its shape and the shape that is wanted.
    """
    means = shapes["means"]
    if len(means) < 2 or 0 in means or shapes["weights"] != means[:-1]:
        wants = "have means of shape (..., k, d) and weights of shape (..., k)"
        raise ArgumentError(name, wants, f"means of shape {means} and weights of shape {shapes['weights']}")
    *batch, k, d = means
    row = jax.ShapeDtypeStruct((d,), np.float32)  # only shapes are asked for
    like = jax.eval_shape(family.from_means, jax.ShapeDtypeStruct((k, d), np.float32), row, row)
    for leaf in set(shapes) - {"weights"}:
        wanted = (*batch, *getattr(like, leaf).shape)
        if shapes[leaf] != wanted:
            raise ArgumentError(name, f"have {leaf} of shape {wanted}", str(shapes[leaf]))


def sound_mixture(name: str, mixture: Any) -> None:
    """Refuses a mixture that has no density; looks at its arrays in NumPy, so nothing is compiled.

    Raises:
        ValueError: shapes that disagree, NaN, weights off the simplex, factors that are none: naming the parameter,
            the component and the restart.
    """
    family: Any = type(mixture.components)
    rules, traits = constraints(family), family.traits
    leaves: dict[str, Any] = {leaf: np.asarray(getattr(mixture.components, leaf)) for leaf in rules}
    leaves["weights"] = np.asarray(mixture.weights)
    mixture_shapes(name, family, {leaf: array.shape for leaf, array in leaves.items()})
    leading = leaves["weights"].ndim - 1

    def refuse(leaf: str, bad: Any, wants: str) -> None:
        if np.any(bad):
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            parts = [] if leaf in traits.shared or len(index) == leading else [f"component {index[leading]}"]
            parts += [f"restart {', '.join(map(str, index[:leading]))}"] if leading else []
            found = leaves[leaf].sum(-1)[index] if len(index) == leading else leaves[leaf][index]
            where = f" in {' of '.join(parts)}" if parts else ""
            raise ArgumentError(name, wants, f"{found:g}{where}")

    for leaf, array in leaves.items():
        refuse(leaf, ~np.isfinite(array), f"have finite {leaf}")
    weights = leaves["weights"]
    refuse("weights", weights < 0, "have weights of at least 0")
    refuse("weights", np.abs(weights.sum(-1, dtype=np.float64) - 1) > 1e-3, "have weights that sum to 1")
    for leaf, rule in rules.items():
        refuse(leaf, ~rule.holds(leaves[leaf]), f"have {leaf} {rule.words}")
