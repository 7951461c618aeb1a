"""Seconds per EM iteration on real rows, in the middle of a fit and at its end, beside easy rows of the same shape.

Easy rows are those of `em_cases.py`: clusters that overlap and are about as wide in all directions. What a step costs
should not depend on the rows: the figure is real over easy.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import Spread, iterations_for, number, parser, provenance, ratio, record, slope, table, write
from em_cases import Case, rows, starts
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_image
from sklearn.decomposition import PCA

import jaxgmm

FEW, MIDDLE, END = 1, 5, 150


@dataclass(frozen=True)
class Real:
    """Rows (n, d) of real data, and the mixtures that are fitted to them."""

    name: str
    x: Any
    k: int
    restarts: int


def photograph(name: str) -> Any:
    return load_sample_image(f"{name}.jpg").astype(np.float32) / 255


def patches(name: str, side: int = 4, step: int = 2) -> Any:
    """Square patches of a photograph in shades of grey, (n, side²)."""
    grey = photograph(name).mean(axis=2)
    views = np.lib.stride_tricks.sliding_window_view(grey, (side, side))[::step, ::step]
    return np.ascontiguousarray(views.reshape(-1, side * side))


def cases() -> list[Real]:
    digits = PCA(16, random_state=0).fit_transform(load_digits().data).astype(np.float32)
    found = []
    for name in ("china", "flower"):
        found.append(Real(f"{name}.jpg, colours", photograph(name).reshape(-1, 3), 12, 8))
        found.append(Real(f"{name}.jpg, 4 × 4 patches", patches(name), 16, 8))
    found.append(Real("digits, 16 principal components", digits, 10, 16))
    found.append(Real("breast cancer", load_breast_cancer().data.astype(np.float32), 2, 16))
    return found


def fitted(x: Any, k: int, start: jaxgmm.Mixture, m: int) -> jaxgmm.FitResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jaxgmm.fit(0, x, k, init=start, tol=0, max_iter=m, search="all", on_degenerate="keep", engine="jax")


def runner(x: Any, k: int, start: jaxgmm.Mixture) -> Callable[[int], float]:
    """Seconds of so many iterations."""

    def run(m: int) -> float:
        begun = time.perf_counter()
        fitted(x, k, start, m)
        return time.perf_counter() - begun

    return run


def measure(real: Real, repeats: int, budget: float) -> dict[str, Any]:
    """Times one case and its easy twin, in turn."""
    n, d = real.x.shape
    twin = Case("", n, d, real.k, (real.restarts,), kind="easy")
    easy = rows(twin)
    runs, kernels = {}, {}
    for what, x in (("real", real.x), ("easy", easy)):
        begun = starts(twin, x)
        for when, m in (("middle", MIDDLE), ("end", END)):
            there = fitted(x, real.k, begun, m)
            runs[what, when] = runner(x, real.k, there.mixtures)
            kernels[what, when] = sorted(set(map(str, fitted(x, real.k, there.mixtures, 2).kernel)))
    many = {}
    for key, run in runs.items():
        run(FEW)
        first = run(FEW)
        many[key] = FEW + iterations_for(budget, (run(9) - first) / 8, 8)
        run(many[key])
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(repeats):
        for key, run in runs.items():
            taken[key].append(slope(run, FEW, many[key]))
    done = {"case": real.name, "n": n, "d": d, "k": real.k, "restarts": real.restarts, "moments": {}}
    for when in ("middle", "end"):
        done["moments"][when] = {
            "kernels": kernels["real", when],
            "seconds": {what: Spread.of(taken[what, when]).json() for what in ("real", "easy")},
            "real_over_easy": ratio(taken["real", when], taken["easy", when]).json(),
        }
    print(text([done]), flush=True)
    return done


def text(cases: list[dict[str, Any]]) -> str:
    header = ["rows", "N", "D", "K", "starts", "when", "kernels", "ms, real", "ms, easy", "real over easy"]
    body = []
    for done in cases:
        for when, found in done["moments"].items():
            ms = [number(1e3 * found["seconds"][what]["median"]) for what in ("real", "easy")]
            times = found["real_over_easy"]
            shape = [str(done[key]) for key in ("n", "d", "k", "restarts")]
            body.append(
                [done["case"], *shape, when, ", ".join(found["kernels"]), *ms,
                 f"{number(times['median'])} ({number(times['low'])} – {number(times['high'])})"]
            )  # fmt: skip
    return table(header, body)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=5, help="rounds (default: %(default)s)")
    options.add_argument("--budget", type=float, default=0.6, help="seconds a timed run aims at (default: %(default)s)")
    arguments = options.parse_args()
    repeats, budget = (2, 0.1) if arguments.quick else (arguments.repeats, arguments.budget)
    where = record(repeats=repeats, budget=budget)
    found = [measure(real, repeats, budget) for real in cases()]
    title = f"# Seconds per EM iteration on real rows\n\nIn the middle: after {MIDDLE} iterations; at the end: {END}."
    markdown = "\n\n".join([title, text(found), provenance(where)])
    write(arguments.out, "real_rows", {"record": where, "cases": found}, markdown)


if __name__ == "__main__":
    main()
