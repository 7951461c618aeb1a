"""The order of a mixture's components: sorted, some of them taken, or brought next to another mixture's.

Parameters are moved, never computed anew, in NumPy: of mixtures at rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from jaxgmm.families.distances import METRICS
from jaxgmm.inputs import arguments, arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError

_BY = ("weight", "mean")


class Ordered:
    """What can be asked of the order of a mixture's components: a part of `Mixture`."""

    def sorted(self, by: str | Callable[[Self], Any] = "weight", feature: int = 0) -> Self:
        """The same mixture, its components in another order; of a batch each mixture is sorted by itself.

        What compares equal keeps its order. Components without weight come last.

        Args:
            by: "weight", the heaviest first; "mean", ascending in one feature; or a function that is called with each
                single mixture and returns (k,) numbers, by which components are sorted, ascending.
            feature: by which feature's means, with "mean"; negative ones count from the end.

        Raises:
            ValueError, TypeError: no such order or feature; what the function returns is not (k,) finite numbers.

        Example:
            >>> mixture.sorted("mean", feature=1)
            >>> mixture.sorted(lambda m: np.linalg.det(m.covariance_matrices()))  # the narrowest first
        """
        return permuted(self, order_of(self, by, feature))

    def take(self, indices: Any) -> Self:
        """Some of the components as a mixture of their own: weights are divided by their sum, the rest stays.

        Args:
            indices: (m,), which ones, in which order, each once; negative ones count from the end. Or a mask (k,) of
                booleans. Of a batch the same for all mixtures, or (..., m) with leading axes as the batch.

        Raises:
            ValueError, TypeError: no such component, or one twice, or none; or none of them has weight.
        """
        return _taken(self, indices)

    def match(self, other: Any, metric: str = "bhattacharyya") -> Any:
        """Which component of this mixture is which of `other`: p with `mixture.take(p)` as close to `other` as can be.

        Component p[j] of this mixture belongs to component j of `other`: no choice of p has a smaller sum of distances
        (Kuhn 1955). Weights play no part, but that components without weight lie nowhere: they are given to each
        other, or to what is left.

        Args:
            other: a single mixture of as many features, with as many components or fewer: those of this mixture that
                are left over are then not in p. Gaussian mixtures of all covariance types can be matched.
            metric: distances of components. "bhattacharyya", −log ∫ √(p q), minds means and covariances; "mahalanobis",
                of means in units of the mean of both covariances, is for Gaussian components only.

        Returns:
            (k',), k' of `other`; of a batch (..., k'), for each of its mixtures.

        Raises:
            ValueError, TypeError: mixtures that cannot be matched, or no such metric.

        Example:
            >>> aligned = mixture.take(mixture.match(other))
        """
        return _matched(self, other, metric)


def order_of(mixture: Any, by: Any, feature: Any = 0) -> Any:
    """The order that `Ordered.sorted` describes, (..., k): numbers of components."""
    if not callable(by) and not (isinstance(by, str) and by in _BY):
        hint = arguments.did_you_mean(by, _BY) if isinstance(by, str) else ""
        raise ArgumentError("by", "be 'weight', 'mean' or a function of a mixture", arguments.shown(by), hint)
    d = mixture.n_features
    feature = arguments.integer("feature", feature, -d, d - 1)
    if feature and by != "mean":
        raise ArgumentError("feature", "be left out unless by='mean'", str(feature))
    weights = np.asarray(mixture.weights)
    if callable(by):
        singles = (mixture[index] if index else mixture for index in np.ndindex(mixture.batch_shape))
        values = np.array([_numbers(by(single), weights.shape[-1:]) for single in singles]).reshape(weights.shape)
    else:
        values = -weights if by == "weight" else np.asarray(mixture.means)[..., feature]
    return np.lexsort((values, weights == 0), axis=-1)


def permuted(mixture: Any, index: Any) -> Any:
    """The components at `index`, (..., m) with the mixture's leading axes, with the weights they have."""
    weights = np.take_along_axis(np.asarray(mixture.weights), index, axis=-1)
    return type(mixture)(weights, mixture.components.rearranged(index))


def _numbers(values: Any, shape: tuple[int, ...]) -> Any:
    """What a user's function returned for one mixture."""
    found = arrays.finite("what by returns", values)
    if found.shape != shape:
        raise ArgumentError("what by returns", f"have shape {shape}, a number for each component", str(found.shape))
    return found if found.dtype.kind in "biuf" else found.astype(np.float64)


def _taken(mixture: Any, indices: Any) -> Any:
    index = _checked(indices, mixture.n_components, mixture.batch_shape)
    found = permuted(mixture, index)
    weights = np.asarray(found.weights, np.float64)
    largest = weights.max(axis=-1, keepdims=True)
    if not (largest > 0).all():
        where = f" in mixture {list(map(int, np.argwhere(largest[..., 0] <= 0)[0]))}" if mixture.batch_shape else ""
        raise ArgumentError("indices", "name a component with weight", f"only components of weight 0{where}")
    if index.shape[-1] < mixture.n_components:  # all weights sum to 1 as they are, and stay so to the bit
        weights = weights / largest  # beyond which the smallest could not be divided
        found = type(mixture)((weights / weights.sum(-1, keepdims=True)).astype(mixture.dtype), found.components)
    return found


def _checked(indices: Any, k: int, batch: tuple[int, ...]) -> Any:
    """`indices` as integers from 0 to k − 1, (*batch, m)."""
    given = arrays.to_numpy("indices", indices)
    if given.dtype.kind == "b":
        if given.shape != (k,):
            raise ArgumentError("indices", f"be a mask of shape {(k,)}, one for each component", str(given.shape))
        given = np.flatnonzero(given)
    wanted = "(m,)" + (f" or ({', '.join(map(str, batch))}, m)" if batch else "")
    if given.ndim == 0 or (given.ndim > 1 and given.shape[:-1] != batch):
        hint = f"[{given}] takes one component" if given.ndim == 0 else ""
        raise ArgumentError("indices", f"have shape {wanted}", str(given.shape), hint)
    if not given.shape[-1]:
        raise ArgumentError("indices", "name at least one component", "none")
    if given.dtype.kind not in "iu":
        raise ArgumentTypeError("indices", "be integers, or booleans as a mask", f"dtype {given.dtype}")
    if (bad := (given < -k) | (given >= k)).any():
        wants = f"lie from {-k} to {k - 1}, as there are {k} components"
        raise ArgumentError("indices", wants, str(given[bad][0]))
    index = np.where(given < 0, given.astype(np.int64) + k, given.astype(np.int64))
    ordered = np.sort(index, axis=-1)
    if (twice := ordered[..., 1:] == ordered[..., :-1]).any():
        raise ArgumentError("indices", "name a component once", f"{ordered[..., 1:][twice][0]} twice")
    return np.broadcast_to(index, (*batch, index.shape[-1]))


def _matched(mixture: Any, other: Any, metric: str) -> Any:
    metric = arguments.choice("metric", metric, METRICS)
    if not isinstance(other, type(mixture)):
        hint = "pass result.mixture" if hasattr(other, "mixture") else ""
        raise ArgumentTypeError("other", "be a Mixture", type(other).__name__, hint)
    if other.batch_shape:
        raise ArgumentError("other", "be a single mixture", f"leading axes {other.batch_shape}", "index it first")
    if other.n_features != mixture.n_features:
        raise ArgumentError("other", f"have {mixture.n_features} features", str(other.n_features))
    if other.n_components > mixture.n_components:
        wants = f"have at most {mixture.n_components} components, as this mixture has"
        raise ArgumentError("other", wants, str(other.n_components))
    singles = (mixture[index] if index else mixture for index in np.ndindex(mixture.batch_shape))
    found = [_assignment(single, other, metric) for single in singles]
    return np.array(found, np.int64).reshape(*mixture.batch_shape, other.n_components)


def _assignment(mixture: Any, other: Any, metric: str) -> Any:
    """The components of a single mixture that belong to those of `other`."""
    from scipy.optimize import linear_sum_assignment  # takes longer to load than jaxgmm, for this alone

    mine, theirs = np.asarray(mixture.weights) > 0, np.asarray(other.weights) > 0
    distances = mixture.components.distances(other.components, metric)
    rows, columns = linear_sum_assignment(distances[np.ix_(mine, theirs)])
    found = np.full(other.n_components, -1)
    found[np.flatnonzero(theirs)[columns]] = np.flatnonzero(mine)[rows]
    left = np.setdiff1d(np.arange(mixture.n_components), found)
    left = left[np.argsort(mine[left], kind="stable")]  # those without weight first
    empty = found < 0
    found[empty] = left[: empty.sum()]
    return found
