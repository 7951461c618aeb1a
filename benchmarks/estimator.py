"""What scikit-learn's conventions cost: the estimator against the core call that it makes, and against scikit-learn.

Everything is compiled before it is timed; rounds are interleaved. Iris in float64, 3 full components.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from common import Spread, interleaved, number, parser, provenance, ratio, record, table, write


def contenders() -> dict[str, dict[str, Callable[[], Any]]]:
    """For each task: the estimator, the core, and scikit-learn."""
    from sklearn import mixture as theirs
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_iris

    import jaxgmm
    from jaxgmm.drivers.ahead import EMAhead

    x = load_iris().data
    one = x[:1]
    ours = jaxgmm.GaussianMixture(3, random_state=0).fit(x)
    other = theirs.GaussianMixture(3, random_state=0).fit(x)
    core = ours.mixture_
    labels = KMeans(3, n_init=1, random_state=0).fit(x).labels_
    options: dict[str, Any] = {
        "n_components": 3, "init": labels, "driver": EMAhead(hold=True), "tol": 1e-3, "max_iter": 99,
        "reg_covar": 1e-6, "stopping": "change", "on_degenerate": "keep",
    }  # fmt: skip
    given = {"weights_init": other.weights_, "means_init": other.means_, "precisions_init": other.precisions_}
    start = options | {"init": core}
    return {
        "predict, 1 row": {
            "estimator": lambda: ours.predict(one), "core": lambda: core.predict(one),
            "scikit-learn": lambda: other.predict(one),
        },
        "predict, 150 rows": {
            "estimator": lambda: ours.predict(x), "core": lambda: core.predict(x),
            "scikit-learn": lambda: other.predict(x),
        },
        "score_samples, 1 row": {
            "estimator": lambda: ours.score_samples(one), "core": lambda: core.score_samples(one),
            "scikit-learn": lambda: other.score_samples(one),
        },
        "fit, parameters given": {
            "estimator": lambda: jaxgmm.GaussianMixture(3, **given).fit(x), "core": lambda: jaxgmm.fit(0, x, **start),
            "scikit-learn": lambda: theirs.GaussianMixture(3, **given).fit(x),
        },
        "fit, k-means start": {
            "estimator": lambda: jaxgmm.GaussianMixture(3, random_state=0).fit(x),
            "core": lambda: jaxgmm.fit(0, x, **options),
            "scikit-learn": lambda: theirs.GaussianMixture(3, random_state=0).fit(x),
        },
        "fit, 16 restarts": {
            "estimator": lambda: jaxgmm.GaussianMixture(3, n_init=16, random_state=0).fit(x),
            "core": lambda: jaxgmm.fit(0, x, **options | {"init": (labels, "kmeans"), "n_init": 16}),
            "scikit-learn": lambda: theirs.GaussianMixture(3, n_init=16, random_state=0).fit(x),
        },
    }  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=51, help="rounds of each task (default: %(default)s)")
    arguments = options.parse_args()
    repeats = 5 if arguments.quick else arguments.repeats
    warnings.simplefilter("ignore")
    where, data, body = record(repeats=repeats), {}, []
    for task, functions in contenders().items():
        for function in functions.values():
            function()  # compiles
        taken = interleaved(functions, repeats)
        spreads = {name: Spread.of(values) for name, values in taken.items()}
        over, against = ratio(taken["estimator"], taken["core"]), ratio(taken["scikit-learn"], taken["estimator"])
        data[task] = {
            "seconds": {name: spread.json() for name, spread in spreads.items()},
            "estimator over core": over.json(),
            "scikit-learn over estimator": against.json(),
        }
        medians = [number(1e3 * spreads[name].median) for name in ("estimator", "core", "scikit-learn")]
        print(f"{task}: {over.median:.2f} of the core's time", flush=True)
        body.append([task, *medians, number(over.median), number(against.median)])
    title = f"# The estimator's own cost\n\nMilliseconds, medians of {repeats} interleaved rounds; ratios of medians."
    header = ["iris, float64, 3 full components", "estimator", "core", "scikit-learn", "÷ core", "scikit-learn ÷"]
    markdown = "\n\n".join([title, table(header, body), provenance(where)])
    print(markdown)
    write(arguments.out, "estimator", {"record": where, "tasks": data}, markdown)


if __name__ == "__main__":
    main()
