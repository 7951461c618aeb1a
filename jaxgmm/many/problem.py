"""Many fits as they are posed to the device: data sets of about one length, each in coordinates of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxgmm.em.penalty import Penalty
from jaxgmm.families import Family
from jaxgmm.inputs import arguments, arrays, precision, trees
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.randomness import seed_key
from jaxgmm.inputs.threefry import Words, folded
from jaxgmm.inputs.typing import Float, Int, Num, UInt
from jaxgmm.many.checks import looked_at, unremarkable
from jaxgmm.many.mapped import Posed
from jaxgmm.problem.coordinates import Coordinates, coordinates, widths_of
from jaxgmm.problem.prior import Prior, conjugate, ridge_beside
from jaxgmm.problem.resolution import Widths
from jaxgmm.problem.summary import DataSummary, SweepOfMany, summarise
from jaxgmm.rows import Sample
from jaxgmm.rows.places import beside_one_another
from jaxgmm.run.batching import n_threads
from jaxgmm.starts.seeding import n_seed_rows, seed_index

# Data sets looked at together: float64 copies of them stay in the caches.
_TOGETHER = 32
# Lengths are padded to whole multiples of this, and then to a few per power of two.
_ALIGNMENT = 16
_CLASSES_PER_OCTAVE = 2
# Numbers in the rows of data sets that are on their way at once.
_WAVE_ELEMENTS = 1 << 26


@dataclass(frozen=True)
class DataSets:
    """Checked data sets: rows (n_i, d) and their weights (n_i,), all positive, or None."""

    x: Sequence[Num[np.ndarray, "n d"]] | Num[np.ndarray, "p n d"]
    weights: Sequence[Num[np.ndarray, " n"]] | None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def lengths(self) -> Int[np.ndarray, " p"]:
        return np.fromiter((len(rows) for rows in self.x), np.int64, len(self.x))

    @property
    def n_features(self) -> int:
        return self.x[0].shape[1]


def checked_data_sets(x: Any, sample_weight: Any, family: type[Family]) -> DataSets:
    """`x`, (p, n, d) or a list of (n_i, d), with weights alike, as data sets without rows of weight 0.

    Raises:
        ValueError, TypeError: naming the data set, the row and the column.
    """
    x = _separate("x", x)
    sets = _finite(x) if isinstance(x, np.ndarray) else [arguments.rows(f"x[{i}]", rows) for i, rows in enumerate(x)]
    odd = next((i for i, rows in enumerate(sets) if rows.shape[1] != sets[0].shape[1]), None)
    if odd is not None:
        got = f"{sets[odd].shape[1]} in x[{odd}], {sets[0].shape[1]} in x[0]"
        raise ArgumentError("x", "hold data sets with equally many columns", got)
    for i, rows in enumerate(sets):
        family.check_rows(f"x[{i}]", rows)
    if sample_weight is None:
        return DataSets(sets, None)
    weights = _separate("sample_weight", sample_weight)
    if len(weights) != len(sets):
        wants = f"hold weights for {len(sets)} data sets, as x does"
        raise ArgumentError("sample_weight", wants, str(len(weights)))
    weights = [arguments.weights(f"sample_weight[{i}]", w, len(sets[i])) for i, w in enumerate(weights)]
    if any(not w.all() for w in weights):
        sets = [rows[w > 0] for rows, w in zip(sets, weights, strict=True)]
        weights = [w[w > 0] for w in weights]
    return DataSets(sets, weights)


def _separate(name: str, x: Any) -> Any:
    """What holds one thing per data set: a list or tuple as it is, anything else as one array."""
    held = x if isinstance(x, list | tuple) else arrays.to_numpy(name, x)
    if not isinstance(held, list | tuple) and name == "x" and held.ndim != 3:
        wants = "have shape (p, n, d), or be a list of arrays (n_i, d)"
        raise ArgumentError("x", wants, f"shape {held.shape}")
    if not isinstance(held, list | tuple) and held.ndim < 2:
        raise ArgumentError(name, "hold one array for each data set", f"shape {held.shape}")
    if len(held) == 0:
        raise ArgumentError(name, "hold at least one data set", "none")
    return held


def _finite(x: Any) -> Any:
    """`x`, (p, n, d), all finite."""
    if 0 in x.shape:
        raise ArgumentError("x", "have at least one row and one column", f"shape {x.shape}")
    good = np.array([np.isfinite(rows).all() for rows in x]) if x.dtype.kind not in "biu" else np.ones(len(x), bool)
    if not good.all():
        i = int(np.argmin(good))
        arguments.rows(f"x[{i}]", x[i])
    return x


def waves(sets: DataSets) -> Iterator[tuple[Int[np.ndarray, " q"], int]]:
    """(numbers of data sets, slots for their rows): of about one length, and few enough to be held at once."""
    slots = np.array([_slots(n) for n in sets.lengths])
    for size in np.unique(slots):
        numbers = np.flatnonzero(slots == size)
        most = max(1, _WAVE_ELEMENTS // int(size * sets.n_features))
        for begin in range(0, len(numbers), most):
            yield numbers[begin : begin + most], int(size)


def _slots(n: int) -> int:
    """Slots for `n` rows: the next of a few lengths per power of two."""
    step = max(_ALIGNMENT, (1 << (int(n) - 1).bit_length()) // (2 * _CLASSES_PER_OCTAVE))
    return -(-int(n) // step) * step


@trees.register_dataclass
@dataclass(frozen=True)
class Frames:
    """What is known of each data set on the host, in float64; leading axis p."""

    frame: Coordinates
    widths: Widths
    ridge: Float[np.ndarray, "p d"]
    n_rows: Int[np.ndarray, " p"]
    total_weight: Float[np.ndarray, " p"]


@trees.register_dataclass
@dataclass(frozen=True)
class LaidSets:
    """Data sets laid out, NumPy; leading axis p. See `Posed`."""

    rows: Sample
    penalty: Penalty
    floor: Any
    frames: Frames


Odd = list[tuple[int, DataSummary]]


def posed(
    key: Words, sets: DataSets, numbers: Int[np.ndarray, " q"], slots: int, family: type[Family],
    n_components: int, reg_covar: float | Literal["auto"], prior: Prior | None, dtype: np.dtype, on_host: bool,
) -> tuple[Posed, Frames, list[tuple[int, str]]]:  # fmt: skip
    """The data sets `numbers`, laid out in `slots`, and what there is to warn of: (data set, message).

    Raises:
        ValueError: a data set cannot be fitted as it is; it is named. See `checks.check_data`.
    """
    together = [numbers[i : i + _TOGETHER] for i in range(0, len(numbers), _TOGETHER)]

    def lay(part: Int[np.ndarray, " q"]) -> tuple[LaidSets, Odd]:
        with precision.scope(dtype, on_host):
            return _laid(sets, part, slots, family, n_components, reg_covar, prior, dtype)

    with ThreadPoolExecutor(1 if on_host else n_threads()) as executor:
        parts = list(executor.map(lay, together))
    watched = ridge_beside(prior, reg_covar)[1]
    complaints = []
    for i, summary in (one for _, odd in parts for one in odd):
        weights = None if sets.weights is None else sets.weights[i]
        complaints += looked_at(i, sets.x[i], weights, summary, family, n_components, watched, dtype)
    laid: LaidSets = trees.map(lambda *leaves: np.concatenate(leaves), *(part for part, _ in parts))
    frames = laid.frames
    keys = folded(key, numbers)
    seed_keys = seed_key(keys)
    seeds: Any = None
    sample: Any = None
    if n_seed_rows(slots, n_components) < slots:
        seeds = _samples(seed_keys, frames.n_rows, n_components, slots)
        sample = _samples(keys, frames.n_rows, n_components, slots)
    frame = frames.frame
    data = Posed(
        rows=laid.rows,
        penalty=laid.penalty,
        floor=laid.floor,
        centre=frame.centre.astype(dtype),
        spread=frame.spread.astype(dtype),
        seeds=seeds,
        sample=sample,
        key=keys,
    )
    return data, frames, complaints


def _laid(
    sets: DataSets, numbers: Int[np.ndarray, " q"], slots: int, family: type[Family], k: int,
    reg_covar: float | Literal["auto"], prior: Prior | None, dtype: np.dtype,
) -> tuple[LaidSets, Odd]:  # fmt: skip
    """The data sets `numbers` laid out, and those to be looked at one by one with their summaries."""
    lengths = np.array([len(sets.x[i]) for i in numbers])
    w = np.zeros((len(numbers), slots))
    # Room that is left over repeats the first row, without weight: nothing there can overflow. In memory rows are
    # minor, as they will be laid out: NumPy is slow at loops as short as the features are few.
    shape = len(numbers), sets.n_features, slots
    x = np.swapaxes(np.empty(shape, np.result_type(*{sets.x[i].dtype for i in numbers})), 1, 2)
    for place, (i, n) in enumerate(zip(numbers, lengths, strict=True)):
        x[place, :n], x[place, n:] = sets.x[i], sets.x[i][0]
        w[place, :n] = 1 if sets.weights is None else sets.weights[i]

    means = SweepOfMany(x, w)
    summary = summarise(means)
    reg_covar, watched = ridge_beside(prior, reg_covar)
    fine = unremarkable(x, w, summary, family, k, watched, dtype)
    odd = [(int(i), one) for i, one, good in zip(numbers, summary.each(), fine, strict=True) if not good]
    frame = coordinates(family, means, summary)
    ridge = frame.ridge(reg_covar, dtype)
    widths = widths_of(family, frame, summary, ridge)
    known = None
    if prior is not None:
        each = [conjugate(prior, family, frame[i], k, dtype) for i in range(len(numbers))]
        known = trees.map(lambda *leaves: np.stack(leaves), *each)
    laid = np.ascontiguousarray(np.swapaxes((x - frame.shift[:, None]) / frame.root[:, None], 1, 2), dtype)
    total = w.sum(axis=1)
    rows = beside_one_another(laid, w, total, lengths, frame.whitener)
    frames = Frames(frame, widths, ridge, lengths, total)
    return LaidSets(rows, Penalty(ridge.astype(dtype), known), widths.floor.astype(dtype), frames), odd


def _samples(
    keys: UInt[np.ndarray, "p ..."], lengths: Int[np.ndarray, " p"], k: int, slots: int
) -> Int[np.ndarray, "p s"]:
    """Row numbers to pick from, (p, s); places left over name a slot without a row."""
    index = np.full((len(lengths), n_seed_rows(slots, k)), slots - 1, np.int32)
    for i, (data, n) in enumerate(zip(keys, lengths, strict=True)):
        chosen = seed_index(data, int(n), k)
        index[i, : len(chosen)] = chosen
    return index
