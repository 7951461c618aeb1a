"""Where restarts start: what the user gave, checked, as a batch of mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgmm.families import Family
from jaxgmm.inputs import arguments, trees
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.threefry import Words
from jaxgmm.inputs.wording import Wording
from jaxgmm.mixture import Mixture, integrity
from jaxgmm.problem.pose import Problem
from jaxgmm.starts.methods import METHODS, from_assignments, initialize


def checked_init(init: Any, n_init: int | None, family: type[Family], k: int, shape: tuple[int, int]) -> Any:
    """`init` as a method's name, a batch of mixtures, labels (r, n) or responsibilities (r, n, k); or a pair of such
    starts, and the method's name that the others come by.

    Raises:
        ValueError, TypeError: it cannot start a fit of K = `k` components to rows of this `shape`.
    """
    n, d = shape
    if n_init is not None:
        n_init = arguments.integer("n_init", n_init, 1)
    if isinstance(init, str):
        return arguments.choice("init", init, METHODS)
    if isinstance(init, tuple) and len(init) == 2 and isinstance(init[1], str):
        first = checked_init(init[0], None, family, k, shape)
        held = held_in(first)
        if n_init is None or n_init <= held:
            more = Wording("be more than the {held} starts that {init} holds beside a name", held=held)
            raise ArgumentError("n_init", more, str(n_init))
        return first, arguments.choice("init", init[1], METHODS)
    if isinstance(init, Mixture):
        if len(init.batch_shape) > 1:
            raise ArgumentError("init", "be a mixture with at most one leading axis", str(init.batch_shape))
        if not (type(init.components) is family and (init.n_components, init.n_features) == (k, d)):
            wants = f"be a {family.traits.name} mixture with {k} components and {d} features"
            got = f"{init.covariance_type} with {init.n_components} and {init.n_features}"
            raise ArgumentError("init", wants, got)
        integrity.sound_mixture("init", init)
        checked: Any = init if init.batch_shape else trees.map(lambda leaf: np.asarray(leaf)[None], init)
        held = checked.batch_shape[0]
    else:
        try:
            assigned = np.asarray(init)
        except ValueError as error:
            raise ArgumentError("init", "be a rectangular array if it is an array", None, str(error)) from None
        if assigned.dtype.kind in "iu" and assigned.ndim in (1, 2) and assigned.shape[-1] == n and assigned.size:
            assigned = assigned.reshape(-1, n).astype(np.int32)
            if assigned.min() < 0 or assigned.max() >= k:
                range_of_labels = f"{assigned.min()} … {assigned.max()}"
                raise ArgumentError("init", f"hold labels in 0 … {k - 1}", range_of_labels)
        elif assigned.dtype.kind == "f" and assigned.ndim in (2, 3) and assigned.shape[-2:] == (n, k) and assigned.size:
            assigned = assigned.reshape(-1, n, k)
            if not ((assigned >= 0).all() and np.allclose(assigned.sum(-1), 1, atol=1e-3)):
                wants = "hold responsibilities of at least 0 that sum to 1 over components"
                raise ArgumentError("init", wants)
        else:
            wants = (
                f"be one of {', '.join(map(repr, METHODS))}, a Mixture, integer labels ({n},) or (r, {n}), "
                f"or responsibilities ({n}, {k}) or (r, {n}, {k})"
            )
            raise ArgumentError("init", wants, f"dtype {assigned.dtype}, shape {assigned.shape}")
        checked, held = assigned, len(assigned)
    if n_init not in (None, held):
        same = Wording("be left out or be {held}, the starts that {init} holds", held=held)
        raise ArgumentError("n_init", same, str(n_init))
    return checked


def held_in(init: Any) -> int:
    """How many starts a checked `init` holds; a name holds none."""
    return 0 if isinstance(init, str) else init.batch_shape[0] if isinstance(init, Mixture) else len(init)


def of_rows(init: Any, kept: Any) -> Any:
    """A checked `init` for the rows `kept` alone."""
    if isinstance(init, tuple):
        return of_rows(init[0], kept), init[1]
    return np.take(init, kept, axis=1) if isinstance(init, np.ndarray) else init


def make_starts(key: Words, problem: Problem, init: Any, n_init: int) -> Mixture:
    """The starts that a checked `init` means, in the coordinates of `problem`; leading axis r.

    What is held in the problem is held in them.
    """
    starts, pinned = _made(key, problem, init, n_init), problem.penalty.pinned
    return starts if pinned is None else pinned.within(starts)


def _made(key: Words, problem: Problem, init: Any, n_init: int) -> Mixture:
    if isinstance(init, tuple):
        first, others = (
            _made(key, problem, init[0], 1),
            _made(key, problem, init[1], n_init - held_in(init[0])),
        )
        return trees.map(lambda *leaves: np.concatenate(leaves), first, others)
    if isinstance(init, Mixture):
        return problem.frame.from_data(init, problem.dtype)
    if isinstance(init, str):
        return initialize(key, problem, problem.n_components, n_init, init)
    return from_assignments(init.astype(problem.dtype if init.dtype.kind == "f" else np.int32), problem)
