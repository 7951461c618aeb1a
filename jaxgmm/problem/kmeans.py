"""k-means++ and Lloyd's rounds for many restarts at once, in NumPy: cheap on a sample, and nothing is compiled.

Rows are x, (q, d, m), of q data sets, with weights (q, m), 0 where there is no row; restarts are an axis r after q.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxgmm.inputs.cores import n_cores
from jaxgmm.inputs.threefry import Words, folded, uniform
from jaxgmm.inputs.typing import Float, Int

# Numbers that a thread works on at a time: they stay in its caches.
_PART_ELEMENTS = 1 << 17
# Distances to centres that a thread holds at a time.
_NEAR_ELEMENTS = 1 << 20


def trials_for(n_components: int) -> int:
    """How many draws greedy k-means++ picks each of K seeds from: 2 + ⌊log K⌋."""
    return 2 + int(np.log(n_components))


def plus_plus(
    words: Words, x: Float[np.ndarray, "q d m"], w: Float[np.ndarray, "q m"], n_components: int,
    trials: Int[np.ndarray, " r"], apart: Float[np.ndarray, "h d"] | None = None,
) -> Int[np.ndarray, "q r k"]:  # fmt: skip
    """Rows' numbers by greedy k-means++: each seed the best of `trials` draws (Arthur & Vassilvitskii 2007).

    Seeds come one by one: with the same trials those for fewer components are the first of those for more. They keep
    away from one another, and from the points `apart`.

    Args:
        words: (q, r, 2), a key for every restart of every data set.
    """
    most = int(np.max(trials))
    far = None if apart is None else np.min(np.sum((x[..., None] - apart.T[:, None]) ** 2, axis=-3), axis=-1)

    def one(own: tuple[slice, slice]) -> Any:
        sets, restarts = own
        heights = uniform(folded(words[sets, restarts, None], np.arange(n_components)), most).astype(np.float64)
        return _picked(x[sets], w[sets], heights, trials[restarts], None if far is None else far[sets])

    return _in_parts(one, (*words.shape[:2], most * x.shape[-1]))


def _picked(x: Any, w: Any, heights: Any, trials: Any, far: Any) -> Any:
    """The rows that numbers (q, r, k, t) in [0, 1) pick."""
    (q, r, k, most), m = heights.shape, x.shape[-1]
    points, square = np.ascontiguousarray(np.swapaxes(x, 1, 2)), np.sum(x * x, axis=1)
    everyone, last = np.arange(q)[:, None, None], (m - 1 - np.argmax(w[:, ::-1] > 0, axis=1))[:, None, None]

    def distances(seeds: Any) -> Any:
        """Squared, of all rows from the rows `seeds`, (q, r, t): (q, r, t, m)."""
        own = points[everyone, seeds]
        # |x|² − 2 x·c + |c|² in float64: rows have about unit variance, and clusters are wider than 1e-7 of that.
        found = (own.reshape(q, -1, x.shape[1]) @ x).reshape(*seeds.shape, m)
        found *= -2
        found += square[:, None, None]
        found += np.sum(own * own, axis=-1)[..., None]
        return np.maximum(found, 0, out=found)

    def drawn(mass: Any, height: Any) -> Any:
        # Rows that all coincide leave no distance to draw by; any row will do then.
        mass = np.where(np.sum(mass, axis=-1, keepdims=True) > 0, mass, w[:, None])
        ladder = np.cumsum(mass, axis=-1)
        place = np.sum(ladder[:, :, None] <= (height * ladder[..., -1:])[..., None], axis=-1)
        return np.minimum(place, last)

    first = np.broadcast_to((w if far is None else w * far)[:, None], (q, r, m))
    seeds = np.empty((q, r, k), np.int64)
    seeds[..., :1] = drawn(first, heights[:, :, 0, :1])
    nearest = distances(seeds[..., :1])[:, :, 0]
    if far is not None:
        nearest = np.minimum(nearest, far[:, None])
    for i in range(1, k):
        candidates = drawn(w[:, None] * nearest, heights[:, :, i])
        closer = np.minimum(distances(candidates), nearest[:, :, None])
        left = (closer.reshape(q, -1, m) @ w[..., None]).reshape(q, r, most)
        best = np.argmin(np.where(np.arange(most) < trials[:, None], left, np.inf), axis=-1)[..., None]
        seeds[..., i] = np.take_along_axis(candidates, best, axis=-1)[..., 0]
        nearest = np.take_along_axis(closer, best[..., None], axis=2)[:, :, 0]
    return seeds


def lloyd(
    centres: Float[np.ndarray, "q r k d"], x: Float[np.ndarray, "q d m"], w: Float[np.ndarray, "q m"], rounds: int,
    held: Any = False, possible: Any = None,
) -> tuple[Float[np.ndarray, "q r k d"], Int[np.ndarray, "q r m"]]:  # fmt: skip
    """Where so many of Lloyd's rounds lead, and which centre is nearest to each row then.

    Args:
        held: (k,), the centres that stay.
        possible: (k, m), which of them each row may have; None for all.
    """

    def one(own: tuple[slice, slice]) -> Any:
        sets, moved = own[0], centres[own]
        for _ in range(rounds):
            cell = _nearest(moved, x[sets], possible)
            moved = np.where(np.reshape(held, (-1, 1)), moved, _means(cell, x[sets], w[sets], moved))
        return np.concatenate([moved.reshape(*moved.shape[:2], -1), _nearest(moved, x[sets], possible)], axis=-1)

    q, r, k, d = centres.shape
    both = _in_parts(one, (q, r, k * x.shape[-1]))
    return both[..., : k * d].reshape(centres.shape), both[..., k * d :].astype(np.int64)


def _nearest(centres: Any, x: Any, possible: Any) -> Any:
    (q, r, k, d), m = centres.shape, x.shape[-1]
    cell, step = np.empty((q, r, m), np.int64), max(1, _NEAR_ELEMENTS // (q * r * k))
    half = 0.5 * np.sum(centres * centres, axis=-1)[..., None]
    for start in range(0, m, step):
        some = slice(start, start + step)
        near = (centres.reshape(q, -1, d) @ x[..., some]).reshape(q, r, k, -1)
        near -= half
        cell[..., some] = np.argmax(near if possible is None else np.where(possible[:, some], near, -np.inf), axis=2)
    return cell


def _means(cell: Any, x: Any, w: Any, before: Any) -> Any:
    """The means of rows in cells (q, r, m); where there are none, as before."""
    q, r, k = before.shape[:3]
    each = r * k
    place = (cell + k * np.arange(r)[:, None]).reshape(q, -1)
    means = np.empty(before.shape)
    for i in range(q):
        added = lambda values, i=i: np.bincount(place[i], np.tile(values, r), each).reshape(r, k)  # noqa: E731
        counts = added(w[i])
        sums = np.stack([added(w[i] * row) for row in x[i]], axis=-1)
        held = counts[..., None]
        means[i] = np.where(held > 0, sums / np.where(held > 0, held, 1.0), before[i])
    return means


def _in_parts(function: Callable[[tuple[slice, slice]], Any], shape: tuple[int, int, int]) -> Any:
    """`function` of some data sets' restarts at a time, (q, r) of them with so many numbers each; several at once."""
    parts = list(_parts(*shape))
    if shape[0] > 1:  # many data sets are taken by several threads already
        return np.concatenate([function(part) for part in parts])
    if len(parts) == 1:
        return function(parts[0])
    with ThreadPoolExecutor(n_cores()) as executor:
        found = list(executor.map(function, parts))
    return np.concatenate(found, axis=1)


def _parts(q: int, r: int, each: int) -> Iterator[tuple[slice, slice]]:
    everything = slice(None)
    if q == 1:
        step = max(1, _PART_ELEMENTS // each)
        yield from ((everything, slice(start, start + step)) for start in range(0, r, step))
    else:
        step = max(1, _PART_ELEMENTS // (each * r))
        yield from ((slice(start, start + step), everything) for start in range(0, q, step))
