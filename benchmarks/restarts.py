"""Is the best of a race the best there is, and what does it cost? Every start to its end, a race, and scikit-learn.

For each problem and seed: the best mean log-likelihood of `search="race"` less that of `search="all"`, and the ratio of
their times, compilation apart. scikit-learn starts by k-means++ in float32 as well, with the same tol; a few of its
starts are timed, and extrapolated.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import number, parser, provenance, record, table, write
from restart_problems import Problem, problems

#: a race may end so much lower than the best of all starts, in nats per row, in so many of the pairs
TOLERATED, PAIRS = 1e-4, 0.95
#: for rows from … on: at least so many times faster than all starts, and than scikit-learn
TARGETS = {100_000: (15, 200), 10_000: (4, 50)}
TOL, MAX_ITER = 1e-5, 1000


class Compilation:
    """Seconds spent compiling so far in this process."""

    def __init__(self) -> None:
        import jax

        self.seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            self.seconds += duration_secs


def timed(
    compilation: Compilation, x: Any, problem: Problem, seed: int, starts: int, search: str
) -> tuple[Any, float, float]:
    """The fit, its seconds without those that went into compiling, and those."""
    import jaxgmm

    begun, compiled = time.perf_counter(), compilation.seconds
    result = jaxgmm.fit(
        seed, x, problem.n_components, n_init=starts, search=search, tol=TOL, max_iter=MAX_ITER, reg_covar="auto"
    )
    compiling = compilation.seconds - compiled
    return result, time.perf_counter() - begun - compiling, compiling


def peer_seconds(x: Any, problem: Problem, count: int) -> list[float]:
    """scikit-learn's seconds for single starts."""
    from sklearn.mixture import GaussianMixture

    taken = []
    for state in range(count):
        model = GaussianMixture(
            problem.n_components, init_params="k-means++", tol=TOL, max_iter=MAX_ITER, random_state=state
        )
        begun = time.perf_counter()
        model.fit(x)
        taken.append(time.perf_counter() - begun)
    return taken


def measure(compilation: Compilation, problem: Problem, seed: int, starts: int, peer: int) -> dict[str, Any]:
    import jax

    jax.clear_caches()  # a process has room for some thousand programs only
    x = problem(seed)
    everyone, long, compiled_all = timed(compilation, x, problem, seed, starts, "all")
    _, first, compiled_race = timed(compilation, x, problem, seed, starts, "race")
    raced, short, _ = timed(compilation, x, problem, seed, starts, "race")
    scores = np.sort(everyone.log_likelihood[np.isfinite(everyone.log_likelihood)] / everyone.total_weight)
    sk = peer_seconds(x, problem, peer) if peer else []
    return {
        "problem": problem.name,
        "seed": seed,
        "n": len(x),
        "d": x.shape[1],
        "k": problem.n_components,
        "difference": raced.score - everyone.score,
        "starts_within_tolerance": int(np.sum(scores > everyone.score - TOLERATED)),
        "seconds": {"all": long, "race": short, "sklearn": starts * statistics.mean(sk) if sk else None},
        "first_call": {"all": long + compiled_all, "race": first + compiled_race},
        "work": len(x) * starts * raced.mixture.n_parameters,
        "passes": {"all": float(everyone.passes.sum()), "race": float(raced.passes.sum())},
        "moves": int(np.sum(raced.moves)),
    }


def _row(one: dict[str, Any]) -> list[str]:
    taken = one["seconds"]
    peer = "–" if taken["sklearn"] is None else f"{taken['sklearn'] / taken['race']:.0f}"
    return [
        f"{one['problem']}, seed {one['seed']}",
        f"{one['n']}",
        f"{one['difference']:+.1e}",
        "yes" if one["difference"] >= -TOLERATED else "NO",
        str(one["starts_within_tolerance"]),
        number(taken["all"]),
        number(taken["race"]),
        f"{taken['all'] / taken['race']:.1f}",
        f"{one['first_call']['all'] / one['first_call']['race']:.1f}" if "first_call" in one else "–",
        f"{one['passes']['all'] / one['passes']['race']:.1f}",
        peer,
    ]


def summary(measured: list[dict[str, Any]]) -> str:
    lines = []
    from jaxgmm.race.rules import RaceRules

    worthwhile = RaceRules().worthwhile
    usual = [one for one in measured if one.get("work", 0) >= worthwhile]
    for those, which in (
        (measured, "All problems"),
        (usual, f"From {worthwhile:.0e} rows × starts × parameters on, the default"),
    ):
        kept = sum(one["difference"] >= -TOLERATED for one in those)
        above = sum(one["difference"] > TOLERATED for one in those)
        worst = min((one["difference"] for one in those), default=0.0)
        if those:
            share = f"{kept} of {len(those)} pairs ({kept / len(those):.0%}; wanted {PAIRS:.0%})"
            lines.append(
                f"{which}: within {TOLERATED:g} nats per row of the best of all starts, or above it, in {share}; above "
                f"by more than that in {above}; at worst {worst:+.1e}."
            )
    upper = float("inf")
    for least, (brute, peer) in TARGETS.items():
        those = [one for one in measured if least <= one["n"] < upper]
        upper = least
        if not those:
            continue
        ratios = [one["seconds"]["all"] / one["seconds"]["race"] for one in those]
        peers = [one["seconds"]["sklearn"] / one["seconds"]["race"] for one in those if one["seconds"]["sklearn"]]
        lines.append(
            f"From {least} rows on, medians: {statistics.median(ratios):.1f} times faster than all starts (wanted "
            f"{brute})"
            + (f", {statistics.median(peers):.0f} times than scikit-learn (wanted {peer})." if peers else ".")
        )
    return "\n".join(f"- {line}" for line in lines)


HEADER = [
    "problem",
    "rows",
    "race − all, nats/row",
    "held",
    "starts there",
    "all, s",
    "race, s",
    "× all",
    "× first call",
]
HEADER += ["× passes", "× scikit-learn"]


def report(measured: list[dict[str, Any]], starts: int, where: dict[str, Any], folder: Path) -> None:
    markdown = "\n\n".join([
        f"# Racing {starts} starts\n\nFull covariances, float32, tol {TOL:g}. *starts there*: how many of all starts "
        f"came within {TOLERATED:g} nats per row of the best of them. *× first call*: compilation included.",
        table(HEADER, [_row(one) for one in measured]),
        summary(measured),
        provenance(where),
    ])  # fmt: skip
    write(folder, "restarts", {"record": where, "measured": measured}, markdown)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--starts", type=int, default=128, help="default: %(default)s")
    options.add_argument("--seeds", type=int, default=2, help="default: %(default)s")
    options.add_argument(
        "--peer", type=int, default=2, help="scikit-learn's starts that are timed (default: %(default)s)"
    )
    options.add_argument("--only", nargs="*", help="problems whose names hold one of these words")
    options.add_argument("--most-rows", type=int, default=10**9, help="leave out larger problems")
    options.add_argument("--add", action="store_true", help="to the results there are, which new ones replace")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    starts, seeds = (16, 1) if arguments.quick else (arguments.starts, arguments.seeds)
    where = record(starts=starts, seeds=seeds, tol=TOL, max_iter=MAX_ITER)
    compilation, measured = Compilation(), []
    if arguments.add:
        measured = json.loads((arguments.out / "restarts.json").read_text())["measured"]
    for problem in list(problems())[: 3 if arguments.quick else None]:
        if arguments.only and not any(word in problem.name for word in arguments.only):
            continue
        for seed in range(seeds):
            if len(problem(seed)) > arguments.most_rows:
                continue
            measured = [one for one in measured if (one["problem"], one["seed"]) != (problem.name, seed)]
            measured.append(measure(compilation, problem, seed, starts, arguments.peer if seed == 0 else 0))
            print("  ".join(_row(measured[-1])), flush=True)
            report(measured, starts, where, arguments.out)  # after each, as all of them take hours
    print(summary(measured))


if __name__ == "__main__":
    main()
