"""EM, Adam and L-BFGS from the same starts, with the same kernel in the same dtype: who climbs faster, and how high?

A step costs EM and Adam one pass over the data; L-BFGS searches along a line and pays a pass for every point it
tries. Log-likelihoods are therefore compared at equal passes and at equal wall time, never at equal steps. Adam's
learning rate is chosen on starts of its own, which are not reported.

Wall time is that of all restarts together. L-BFGS fares worse in it than in passes: restarts advance in step, so all
wait for the longest line search, and every point of a search costs two evaluations where one restart alone pays one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from common import Spread, number, parser, provenance, record, table, write
from gradient_data import DATA, Data
from gradient_picture import draw

import jaxgmm

#: the accurate one: none of the methods is to fail by its rounding
KERNEL = "centred"
REG_COVAR = 1e-4
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
#: how near "as good as EM" is, nats per row
NEAR = 0.01
#: key of the starts that are reported, and of those on which the learning rate is chosen
REPORTED, TUNING = 0, 1


def fit(data: Data, driver: Any, starts: jaxgmm.Mixture, steps: int) -> jaxgmm.FitResult:
    """Exactly `steps` steps from `starts`."""
    return jaxgmm.fit(
        0, data.x, data.n_components, init=starts, driver=driver, tol=0, max_iter=steps,
        reg_covar=REG_COVAR, kernel=KERNEL, engine="jax",
    )  # fmt: skip


def starts_of(data: Data, key: int, n: int) -> jaxgmm.Mixture:
    """`n` starts by k-means++, before any step."""
    return jaxgmm.fit(key, data.x, data.n_components, n_init=n, max_iter=0, reg_covar=REG_COVAR).mixtures


def chosen_rate(data: Data, budget: int, n: int) -> tuple[float, dict[float, float]]:
    """The rate with the highest median log-likelihood after `budget` passes, on starts of its own; and all medians."""
    starts = starts_of(data, TUNING, n)
    medians = {}
    for rate in RATES:
        with warnings.catch_warnings():
            # The largest rates may break every restart; they lose then, which is all there is to say.
            warnings.simplefilter("ignore", RuntimeWarning)
            result = fit(data, jaxgmm.Gradient(optax.adam, learning_rate=rate), starts, budget - 1)
        ended = np.where(result.status == jaxgmm.Status.MAX_ITER, _filled(result.history)[:, -1], -np.inf)
        medians[rate] = float(np.median(ended))
    return max(medians, key=lambda rate: medians[rate]), medians


def _filled(history: Any) -> Any:
    """A restart that stopped early keeps its last value."""
    kept = np.array(history, np.float64)
    for s in range(1, kept.shape[1]):
        kept[:, s] = np.where(np.isnan(kept[:, s]), kept[:, s - 1], kept[:, s])
    return kept


def climb(data: Data, driver: Any, starts: jaxgmm.Mixture, budget: int, repeats: int) -> dict[str, Any]:
    """Every restart's log-likelihood after each step, and the passes and seconds it had taken by then, (r, s).

    Fits are deterministic, so a run of fewer steps is the beginning of a longer one: passes and seconds are taken
    from runs that stop after 0, 1, 2, 4, … steps, and interpolated between them.
    """
    fit(data, driver, starts, 1)  # compiles
    stops = [0]
    runs = [fit(data, driver, starts, 0)]
    while np.median(runs[-1].passes) < budget and stops[-1] < budget - 1:
        stops.append(min(max(1, 2 * stops[-1]), budget - 1))
        runs.append(fit(data, driver, starts, stops[-1]))
    timed = [[run.seconds for run in runs]]
    timed += [[fit(data, driver, starts, m).seconds for m in stops] for _ in range(repeats - 1)]
    history = _filled(runs[-1].history)
    steps = np.arange(history.shape[1])
    passes = np.stack([np.interp(steps, stops, counts) for counts in np.stack([run.passes for run in runs], axis=1)])
    seconds = np.interp(steps, stops, np.maximum.accumulate(np.median(timed, axis=0)))
    return {"history": history, "passes": passes, "seconds": np.broadcast_to(seconds, passes.shape),
            "status": runs[-1].counts(), "steps": stops[-1]}  # fmt: skip


def _sampled(at: Any, history: Any, grid: Any) -> list[list[float]]:
    """Histories at the points of `grid`, rounded for the record."""
    return [np.interp(grid, a, h).round(4).tolist() for a, h in zip(at, history, strict=True)]


def summary(climbed: dict[str, Any], budget: int, level: float) -> dict[str, Any]:
    """What is kept of a method: curves on grids, last scores, and when the level was reached."""
    history, passes, seconds = (climbed[name] for name in ("history", "passes", "seconds"))
    kept = {"steps": climbed["steps"], "status": climbed["status"], "final": last_scores(climbed, budget)}
    # Beyond the budget nobody is compared.
    within = np.where(passes <= budget, history, -np.inf)
    for unit, at, most in (("passes", passes, budget), ("seconds", seconds, seconds.max())):
        reached = first_reached(level, at, within)
        kept[f"{unit}_to_level"] = None if np.isnan(reached).all() else float(np.nanmedian(reached))
        kept["share_at_level"] = float(np.mean(~np.isnan(reached)))
        grid = np.geomspace(at.min(), most, 80)
        kept[f"{unit}_grid"] = grid.round(4).tolist()
        kept[f"score_at_{unit}"] = _sampled(at, history, grid)
    return kept


def last_scores(climbed: dict[str, Any], budget: int) -> list[float]:
    """Each restart's log-likelihood when its passes are spent."""
    return [row[-1] for row in _sampled(climbed["passes"], climbed["history"], [budget])]


def first_reached(level: float, at: Any, history: Any) -> Any:
    """Where each restart's history first reaches `level`, in the units of `at`, (r,); NaN where it never does."""
    reached = history >= level
    where = np.argmax(reached, axis=1)
    return np.where(reached.any(axis=1), at[np.arange(len(where)), where], np.nan)


def compare(data: Data, restarts: int, budget: int, repeats: int) -> dict[str, Any]:
    """All methods on one data set."""
    rate, tried = chosen_rate(data, budget, max(restarts // 2, 2))
    drivers: dict[str, Callable[[], Any]] = {
        "EM": jaxgmm.EM,
        "Adam": lambda: jaxgmm.Gradient(optax.adam, learning_rate=rate),
        "L-BFGS": lambda: jaxgmm.Gradient("lbfgs"),
    }
    starts = starts_of(data, REPORTED, restarts)
    climbed = {name: climb(data, make(), starts, budget, repeats) for name, make in drivers.items()}
    level = float(np.median(last_scores(climbed["EM"], budget))) - NEAR
    methods = {name: summary(each, budget, level) for name, each in climbed.items()}
    return {
        "data": data.name, "n": len(data.x), "d": data.x.shape[1], "k": data.n_components, "restarts": restarts,
        "budget": budget, "truth": data.truth, "level": level, "rate": rate, "rates_tried": tried, "methods": methods,
    }  # fmt: skip


def text(result: dict[str, Any]) -> str:
    """A data set's table."""
    body = []
    for name, method in result["methods"].items():
        final, quartiles = Spread.of(method["final"]), np.quantile(method["final"], (0.25, 0.75))
        optional = [method["passes_to_level"], method["seconds_to_level"]]
        body.append(
            [
                name if name != "Adam" else f"Adam, rate {result['rate']}",
                f"{final.high:.4f}", f"{final.median:.4f}", f"{quartiles[0]:.4f} – {quartiles[1]:.4f}",
                f"{100 * method['share_at_level']:.0f} %", *("never" if v is None else number(v) for v in optional),
                number(method["seconds_grid"][-1]),
            ]
        )  # fmt: skip
    header = ["method", "best", "median", "middle half", "reach the level", "passes to it", "s to it", "s in all"]
    title = f"### {result['data']}: N = {result['n']}, D = {result['d']}, K = {result['k']}"
    truth = "" if result["truth"] is None else f" The mixture the rows came from scores {result['truth']:.4f}."
    foot = (
        f"Log-likelihoods in nats per row after {result['budget']} passes, {result['restarts']} restarts. The level is "
        f"EM's median less {NEAR}: {result['level']:.4f}; passes and seconds to it are medians over the restarts that "
        f"reach it.{truth}"
    )
    return "\n\n".join([title, table(header, body), foot])


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--restarts", type=int, default=16, help="default: %(default)s")
    options.add_argument("--passes", type=int, default=200, help="budget for each restart (default: %(default)s)")
    options.add_argument("--repeats", type=int, default=1, help="timed rounds (default: %(default)s)")
    arguments = options.parse_args()
    restarts, budget, repeats = arguments.restarts, arguments.passes, arguments.repeats
    if arguments.quick:
        restarts, budget, repeats = 4, 30, 1
    where = record(restarts=restarts, passes=budget, kernel=KERNEL, dtype="float32", reg_covar=REG_COVAR)
    print(f"{where['cpu']}, {where['cores']} cores, jax {jax.__version__}")
    results = []
    for make in DATA:
        results.append(compare(make(arguments.quick), restarts, budget, repeats))
        print(f"\n{text(results[-1])}", flush=True)
    markdown = "\n\n".join(["# EM against gradients", *map(text, results), provenance(where)])
    write(arguments.out, "em_vs_gradient", {"record": where, "results": results}, markdown)
    draw(results, arguments.out)


if __name__ == "__main__":
    main()
