"""When a restart has converged: by what a step gained, by how far it moved, or by what is still to gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgmm.families.namespace import namespace, quiet
from jaxgmm.inputs import trees
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.typing import Array, Bool, Float, Int
from jaxgmm.mixture import Mixture

#: what `tol` may be compared with
CRITERIA = ("log_likelihood", "parameters", "aitken", "change")

# Gains are watched over this many steps: rounding shows in gains that cancel.
_WINDOW = 32
# A mean log-likelihood ℓ is resolved to some ε(1 + |ℓ|); gains below this many of them may be rounding.
_ROUNDING = 64
# What is still to gain is told by gains and those before them, so many at a time.
_HALVES = (1, 2, 4)
_TRAIL = 2 * _HALVES[-1]
# Steady progress adds gains up. Of gains that are noise, sums stay below this part of their sizes.
_CANCELLED = 0.25


@trees.register_dataclass
@dataclass(frozen=True)
class Progress:
    """What is remembered of a restart's gains, nats per row; leading axis r.

    Attributes:
        gain: the last one; NaN at first.
        drift: their sum since the window began.
        wander: the sum of their sizes.
        steps: how many they are.
        trail: (r, 8), the last ones, in order; NaN where there were fewer.
    """

    gain: Float[Array, " r"]
    drift: Float[Array, " r"]
    wander: Float[Array, " r"]
    steps: Int[Array, " r"]
    trail: Float[Array, "r t"]

    @classmethod
    def none(cls, like: Float[Array, " r"]) -> Progress:
        xp = namespace(like)
        zero, none = xp.zeros_like(like), xp.full_like(like, xp.nan)
        trail = xp.full((*like.shape, _TRAIL), xp.nan, like.dtype)
        return cls(none, zero, zero, xp.zeros(like.shape, xp.int32), trail)

    def after(self, gain: Float[Array, " r"]) -> Progress:
        """With one more gain; a full window is forgotten first."""
        xp = namespace(gain, self.trail)
        full = self.steps >= _WINDOW
        drift, wander, steps = (xp.where(full, 0, a) for a in (self.drift, self.wander, self.steps))
        trail = xp.concatenate([self.trail[..., 1:], gain[..., None]], axis=-1)
        return Progress(gain, drift + gain, wander + abs(gain), steps + 1, trail)

    def rounding(self, log_likelihood: Float[Array, " r"]) -> Bool[Array, " r"]:
        """Whether a whole window of gains was nothing but rounding, at this mean log-likelihood."""
        noise = _ROUNDING * np.finfo(self.drift.dtype).eps * (1 + abs(log_likelihood))
        small = self.wander <= self.steps * noise
        return (self.steps >= _WINDOW) & small & (abs(self.drift) <= _CANCELLED * self.wander)


def remaining(trail: Any, log_likelihood: Any) -> Any:
    """What restarts are predicted still to gain, nats per row, (...): the rest of a geometric series of gains (Aitken).

    NumPy. NaN where there are fewer than two gains, infinite where they do not shrink. The series is taken from the
    last two gains, and from longer halves of the last ones if all of these rose: the largest counts, as a slow decay
    hides behind a fast one.

    Args:
        trail: (..., 8), the last gains, as `Progress` has them.
        log_likelihood: (...), nats per row, whose rounding is no gain.
    """
    gains = np.asarray(trail, np.float64)[..., ::-1]
    noise = np.finfo(np.asarray(trail).dtype).eps * (1 + np.abs(log_likelihood))
    left = np.full(gains.shape[:-1], np.nan)
    for half in _HALVES:
        window = gains[..., : 2 * half]
        late, early = np.sum(window[..., :half], axis=-1), np.sum(window[..., half:], axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = late / early
            rest = np.where((early > 0) & (rate < 1), late * rate / (1 - rate), np.inf)
        rest = np.where(late <= half * noise, 0.0, rest)
        told = np.all(window >= -noise[..., None], axis=-1) | ((half == _HALVES[0]) & ~np.isnan(early + late))
        larger = np.where(np.isinf(rest), left, np.where(np.isinf(left), rest, np.maximum(left, rest)))
        left = np.where(told, np.where(np.isnan(left), rest, larger), left)
    return left


@quiet
def settled(
    criterion: str, tol: Float[Array, ""], gain: Float[Array, " r"], previous: Float[Array, " r"], old: Mixture,
    new: Mixture,
) -> Bool[Array, " r"]:  # fmt: skip
    """Whether the step from `old` to `new`, which gained `gain` after one of `previous`, changed less than `tol`.

    "log_likelihood": the gain. "parameters": the largest move, in standard deviations for means, relative for
    covariance factors, absolute for weights. "aitken": what a geometric series of gains would still add (Böhning et
    al. 1994). Never while gains grow: at a saddle, as where all components are alike, they begin with next to nothing.
    "change": the gain, whatever came before it, as scikit-learn has it.
    """
    xp = namespace(gain, previous)
    if criterion == "change":
        return abs(gain) < tol
    shrinking = gain <= previous  # nor at the first, which has none before it
    if criterion == "parameters":
        move = lambda a, b: a.components.move(b.components)  # noqa: E731
        moved = move(old, new) if xp is np else jax.vmap(move)(old, new)
        return (xp.maximum(moved, xp.max(abs(new.weights - old.weights), axis=-1)) < tol) & shrinking
    small = (abs(gain) < tol) & shrinking
    if criterion == "log_likelihood":
        return small
    rate = gain / previous
    remaining = gain * rate / (1 - rate)
    return small & ((gain <= 0) | ((rate < 1) & (remaining < tol)))
