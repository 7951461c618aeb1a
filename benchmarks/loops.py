"""The loops that people write over small fits: jaxgmm beside scikit-learn, each in a process of its own.

Seconds from the first import to the last answer, compilation included if there is any; medians over fresh processes,
the two taking turns. In one process also fits that come later: again, and with another K, N and D.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Spread, in_a_process, number, parser, provenance, ratio, record, table, write

FAITHFUL = Path(__file__).parent.parent / "tests" / "data" / "faithful.csv"
WHO = ("scikit-learn", "jaxgmm")


def estimator(who: str) -> Any:
    """`GaussianMixture` of either, imported now."""
    if who == "jaxgmm":
        from jaxgmm import GaussianMixture

        return GaussianMixture
    from sklearn.mixture import GaussianMixture as Theirs

    return Theirs


def bic(who: str) -> None:
    """BIC for K = 1 … 8, 178 × 6 rows, `n_init=4`."""
    mixture = estimator(who)
    from sklearn.datasets import load_wine

    x = load_wine().data[:, :6]
    for k in range(1, 9):
        mixture(k, n_init=4, random_state=0).fit(x).bic(x)


def grid(who: str) -> None:
    """`GridSearchCV`, 8 cells and 5 folds, 178 × 6 rows."""
    mixture = estimator(who)
    from sklearn.datasets import load_wine
    from sklearn.model_selection import GridSearchCV

    x = load_wine().data[:, :6]
    cells = {"n_components": [1, 2, 3, 4], "covariance_type": ["full", "diag"]}
    GridSearchCV(mixture(random_state=0), cells, cv=5).fit(x)


def sizes(who: str) -> None:
    """200 fits of 200 different sizes, 50–2000 × 2–8."""
    mixture = estimator(who)
    import numpy as np

    rng = np.random.default_rng(0)
    for n in np.linspace(50, 2000, 200).astype(int):
        d = int(rng.integers(2, 9))
        x = rng.normal(size=(n, d)) + 4 * rng.normal(size=(3, d))[rng.integers(3, size=n)]
        mixture(3, random_state=0).fit(x)


def iris(who: str) -> None:
    """`GaussianMixture(3, n_init=8).fit(iris)`."""
    mixture = estimator(who)
    from sklearn.datasets import load_iris

    mixture(3, n_init=8, random_state=0).fit(load_iris().data)


def restarts(who: str) -> None:
    """64 starts of iris: `jaxgmm.fit(0, iris, 3, n_init=64)`, and what is nearest to it."""
    from sklearn.datasets import load_iris

    if who == "jaxgmm":
        import jaxgmm

        jaxgmm.fit(0, load_iris().data, 3, n_init=64)
    else:
        estimator(who)(3, n_init=64, init_params="k-means++", tol=1e-5, max_iter=1000).fit(load_iris().data)


def selection(who: str) -> None:
    """Old Faithful, K = 1 … 9, four covariance types, 32 starts: `jaxgmm.select`, and the loop that it replaces."""
    import numpy as np

    x = np.loadtxt(FAITHFUL, delimiter=",", skiprows=1)
    if who == "jaxgmm":
        import jaxgmm

        jaxgmm.select(0, x, range(1, 10), n_init=32)
        return
    mixture = estimator(who)
    for kind in ("full", "tied", "diag", "spherical"):
        for k in range(1, 10):
            options = {"covariance_type": kind, "n_init": 32, "init_params": "k-means++", "tol": 1e-5, "max_iter": 1000}
            mixture(k, **options).fit(x).bic(x)


LOOPS: dict[str, Callable[[str], None]] = {
    "bic": bic, "grid": grid, "sizes": sizes, "iris": iris, "restarts": restarts, "selection": selection,
}  # fmt: skip
#: seconds to stay under, or times scikit-learn's
SECONDS, TIMES = {"iris": 1.0, "restarts": 1.2, "selection": 3.0}, {"bic": 1.0, "grid": 1.0, "sizes": 1.0}


def later(who: str) -> dict[str, float]:
    """Seconds of fits that come after a first one, medians, and of one row's answer."""
    mixture = estimator(who)
    from sklearn.datasets import load_iris

    x = load_iris().data

    def timed(call: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun

    def fit(k: int, n: int, d: int) -> Callable[[], Any]:
        return mixture(k, n_init=8, random_state=0).fit(x[:n, :d]).predict

    fit(3, 150, 4)
    fitted = mixture(3, random_state=0).fit(x)
    many = {
        "again": [(3, 150, 4)] * 9,
        "another K": [(k, 150, 4) for k in (2, 4, 5, 6, 7)],
        "another N": [(3, n, 4) for n in range(121, 150, 4)],
        "another D": [(3, 150, d) for d in (2, 3)] * 3,
    }
    found = {name: statistics.median(timed(lambda: fit(*size)) for size in each) for name, each in many.items()}  # noqa: B023
    found["one row scored"] = statistics.median(timed(lambda: fitted.score_samples(x[:1])) for _ in range(50))
    return found


def child(what: str, who: str) -> None:
    begun = time.perf_counter()
    if what == "later":
        print(json.dumps(later(who)))
        return
    LOOPS[what](who)
    print(json.dumps(time.perf_counter() - begun))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options.add_argument("--repeats", type=int, default=5, help="fresh processes (default: %(default)s)")
    options.add_argument("--only", nargs="*", choices=LOOPS, help="only these loops")
    arguments = options.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    repeats = 2 if arguments.quick else arguments.repeats
    where = record(repeats=repeats)
    names = arguments.only or [name for name in LOOPS if not (arguments.quick and name in ("sizes", "selection"))]
    body, loops = [], {}
    for name in names:
        for who in WHO:
            in_a_process(__file__, name, who)  # unrecorded: it brings the packages' files into memory
        taken: dict[str, list[float]] = {who: [] for who in WHO}
        for turn in range(repeats):
            for who in WHO[:: 1 if turn % 2 == 0 else -1]:
                taken[who].append(in_a_process(__file__, name, who))
        times = ratio(taken["jaxgmm"], taken["scikit-learn"])
        wanted = f"{SECONDS[name]:.1f} s" if name in SECONDS else f"{TIMES[name]:.1f} ×"
        spreads = {who: Spread.of(seconds) for who, seconds in taken.items()}
        loops[name] = {who: spread.json() for who, spread in spreads.items()} | {"times": times.json()}
        said = (LOOPS[name].__doc__ or "").removesuffix(".")
        cells = [
            f"{number(spreads[who].median)} ({number(spreads[who].low)} – {number(spreads[who].high)})" for who in WHO
        ]
        body.append([said, *cells, number(times.median), wanted])
        print(*body[-1], sep=" | ", flush=True)
    each = {who: [in_a_process(__file__, "later", who) for _ in range(repeats)] for who in WHO}
    fits = []
    for name in each["jaxgmm"][0]:
        medians = [1e3 * statistics.median(one[name] for one in each[who]) for who in WHO]
        fits.append([name, *map(number, medians)])
    markdown = "\n\n".join(
        [
            f"# Loops over small fits\n\nSeconds with all imports; medians of {repeats} fresh processes each.",
            table(["loop", *(f"{who}, s" for who in WHO), "jaxgmm / scikit-learn", "wanted"], body),
            "Later in a process, `GaussianMixture(3, n_init=8).fit` of iris or parts of it, and one row's score:",
            table(["", *(f"{who}, ms" for who in WHO)], fits),
            provenance(where),
        ]
    )
    print(markdown)
    write(arguments.out, "loops", {"record": where, "loops": loops, "later": each}, markdown)


if __name__ == "__main__":
    main()
