"""Who goes on: where runners are heading, and which of them are on the way to the same optimum."""

from __future__ import annotations

import numpy as np

from jaxgmm.inputs.typing import Float, Int
from jaxgmm.race.rules import RaceRules


def heading_for(history: Float[np.ndarray, "r t"], rules: RaceRules) -> Float[np.ndarray, " r"]:
    """Where mean log-likelihoods are heading: Aitken's extrapolation over the last steps.

    Rows end in NaN where runs ended early. Gains are compared over two halves of a window, as single ones are noise.
    """
    values = np.asarray(history, np.float64)
    last = np.sum(~np.isnan(values), axis=1) - 1
    half = np.minimum(last // 2, rules.window)
    ago = lambda steps: values[np.arange(len(values)), np.maximum(last - steps, 0)]  # noqa: E731
    end, middle, begin = ago(0), ago(half), ago(2 * half)
    late, early = np.maximum(end - middle, 0.0), np.maximum(middle - begin, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.clip(np.where(early > 0, late / early, 0.0), 0.0, rules.most_carried)
    return end + late * rate / (1 - rate)


def ranked(
    heading: Float[np.ndarray, " m"], labels: Int[np.ndarray, "m s"], n_components: int, wanted: int, rules: RaceRules
) -> tuple[list[int], dict[int, int]]:
    """The first `wanted` runners by `heading` that differ, and those that were passed over for one they resemble.

    Args:
        heading: nats per row, −inf for runners that must not go on.
        labels: every runner's labels of the same s rows.
        n_components: K.
        wanted: how many go on, at most.
        rules: when two are alike.
    """
    kept: list[int] = []
    merged: dict[int, int] = {}
    for runner in np.argsort(-heading, kind="stable"):
        if len(kept) == wanted or not np.isfinite(heading[runner]):
            break
        near = [other for other in kept if heading[other] - heading[runner] <= rules.near]
        alike = (o for o in near if _agreement(labels[o], labels[runner], n_components) >= rules.alike)
        twin = next(alike, None)
        if twin is None:
            kept.append(int(runner))
        else:
            merged[int(runner)] = twin
    return kept, merged


def _agreement(a: Int[np.ndarray, " s"], b: Int[np.ndarray, " s"], n_components: int) -> float:
    """The share of rows that two labellings share, components renamed to the largest overlap."""
    table = np.bincount(a * n_components + b, minlength=n_components**2).reshape(n_components, n_components)
    best = table.max(axis=1)
    # One-to-one wherever it matters: what two components share cannot be most of both.
    return float(min(best.sum(), table.max(axis=0).sum()) / len(a))
