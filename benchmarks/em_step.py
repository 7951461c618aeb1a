"""Seconds per EM iteration: jaxgmm and its peers on the same rows from the same start.

The figure is the slope between two numbers of iterations, so that what a fit does once (checks, copies, compilation)
does not count. All contenders of a case run in turn, several rounds; medians are compared.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from common import Spread, iterations_for, number, parser, provenance, ratio, record, slope, table, write
from em_cases import CASES, Case, Contender, chosen_kernel, contenders, rows, starts
from em_parts import PARTS, PRODUCT_OPERATIONS, SIDE, breakdown, needed_operations
from peers import Parameters

import jaxgmm

#: iterations of the shorter of the two runs
FEW = 1
#: the cases and numbers of restarts whose parts are timed
PARTED = (("full", 8), ("full, small", 32))
#: whose choice of kernel is reported
AUTO = "jaxgmm auto"
#: iterations after which the contenders' answers are compared
THREE = 3


def per_iteration(contender: Contender, many: int) -> float:
    """Seconds per iteration between `FEW` and `many` iterations."""
    return slope(lambda m: contender.run(m)[0], FEW, many)


def prepared(contender: Contender, budget: float) -> tuple[int, float, Parameters]:
    """Iterations that take about `budget` seconds, the first run's extra seconds, and where `THREE` iterations led."""
    first, again = contender.run(FEW)[0], contender.run(FEW)[0]
    contender.run(THREE)
    taken, parameters = contender.run(THREE)
    many = FEW + iterations_for(budget, (taken - again) / (THREE - FEW), THREE - FEW)
    if many != THREE:
        contender.run(many)
    return many, first - again, parameters


def score(case: Case, parameters: Parameters, x: Any) -> float:
    """Mean log-likelihood per row: equal for all contenders after equal iterations if they did the same work."""
    weights, means, covariances = parameters
    if case.covariance_type in ("full", "tied"):
        # Some peers' float32 products leave the two triangles a rounding apart.
        covariances = (covariances + np.swapaxes(covariances, -1, -2)) / 2
    mixture = jaxgmm.Mixture.create(weights, means, covariances, covariance_type=case.covariance_type, dtype="float64")
    return float(mixture.score(np.asarray(x[:8192], np.float64)))


def measure(case: Case, repeats: int, budget: float) -> dict[str, Any]:
    """Times one case and prints its table."""
    x = rows(case)
    batch = starts(case, x)
    entered = list(contenders(case, x, batch))
    warm = [prepared(contender, budget) for contender in entered]
    slopes: list[list[float]] = [[] for _ in entered]
    for turn in range(repeats):
        for i in list(range(len(entered)))[:: 1 if turn % 2 == 0 else -1]:
            slopes[i].append(per_iteration(entered[i], warm[i][0]))
    auto = chosen_kernel(case, x, batch, max(w[0] for c, w in zip(entered, warm, strict=True) if c.name == AUTO))

    lines = []
    for contender, (many, compile_time, parameters), taken in zip(entered, warm, slopes, strict=True):
        against = {
            peer.name: ratio([a * contender.starts for a in theirs], taken).json()
            for peer, theirs in zip(entered, slopes, strict=True)
            if peer.name in case.peers and contender.name not in case.peers
        }
        lines.append(
            {
                "contender": contender.name,
                "starts": contender.starts,
                "iterations": [FEW, many],
                "seconds_per_iteration": Spread.of(taken).json(),
                "first_run_extra_seconds": compile_time,
                "times_faster_than": against,
                "score_after_3": score(case, parameters, x),
            }
        )
    done = {
        "case": case.name, "n": case.n, "d": case.d, "k": case.k, "dtype": case.dtype,
        "covariance_type": case.covariance_type, "auto_chose": auto, "contenders": lines,
    }  # fmt: skip
    print(f"\n{text(done)}", flush=True)
    return done


def efficiency(case: Case, restarts: int, repeats: int) -> dict[str, Any]:
    """What share of the machine's product rate an iteration reaches, and where its time goes."""
    x = rows(case)
    batch = starts(case, x)[:restarts]
    alone = replace(case, peers=(), restarts=(restarts,), kernels=("shared_feature",))
    (fitted,) = contenders(alone, x, batch)
    fitted.run(FEW)
    taken = breakdown(x, batch, lambda: per_iteration(fitted, 13), repeats)
    needed = needed_operations(case.n, case.d, case.k, restarts)
    products = [a + b for a, b in zip(taken["first product"], taken["second product"], strict=True)]
    # Round by round: what slows the machine for a while slows the yardstick too.
    rates = [PRODUCT_OPERATIONS / seconds for seconds in taken["sgemm"]]
    share = lambda spent: Spread.of([needed / t / rate for t, rate in zip(spent, rates, strict=True)])  # noqa: E731
    known = [sum(taken[part][i] for part in PARTS) for i in range(repeats)]
    rest = [whole - parts for whole, parts in zip(taken["whole iteration"], known, strict=True)]
    done = {
        "case": case.name, "n": case.n, "d": case.d, "k": case.k, "restarts": restarts,
        "sgemm_gflops": Spread.of([rate / 1e9 for rate in rates]).json(),
        "needed_gflop": needed / 1e9,
        "ms_at_80_percent": 1e3 * needed / 0.8 / statistics.median(rates),
        "ms_products": 1e3 * statistics.median(products),
        "ms_features_and_softmax": 1e3 * (statistics.median(taken["features"]) + statistics.median(taken["softmax"])),
        "share_of_sgemm": share(taken["whole iteration"]).json(),
        "share_of_sgemm_products_alone": share(products).json(),
        "seconds": {name: Spread.of(values).json() for name, values in (taken | {"the rest": rest}).items()},
    }  # fmt: skip
    print(f"\n{efficiency_text(done)}", flush=True)
    return done


# ---- tables -------------------------------------------------------------------------------------------------


def text(done: dict[str, Any]) -> str:
    """A case's table."""
    peers = list(dict.fromkeys(name for line in done["contenders"] for name in line["times_faster_than"]))
    header = ["contender", "starts", "ms per iteration", "range", "first run, extra s"]
    body = []
    for line in done["contenders"]:
        ms = Spread(**line["seconds_per_iteration"]).scaled(1e3)
        cells = [
            line["contender"], str(line["starts"]), number(ms.median), f"{number(ms.low)} – {number(ms.high)}",
            number(line["first_run_extra_seconds"], 2),
        ]  # fmt: skip
        for peer in peers:
            times = line["times_faster_than"].get(peer)
            cells.append(
                f"{number(times['median'])} ({number(times['low'])} – {number(times['high'])})" if times else ""
            )
        body.append(cells)
    scores = [line["score_after_3"] for line in done["contenders"]]
    title = (
        f"### {done['case']}: {done['covariance_type']}, {done['dtype']}, N = {done['n']}, D = {done['d']}, "
        f"K = {done['k']}"
    )
    foot = (
        f"`auto` chose {done['auto_chose']}. After three iterations the contenders' mean log-likelihoods lie within "
        f"{max(scores) - min(scores):.1e} nats per row of each other."
    )
    return "\n\n".join([title, table([*header, *(f"× {peer}, as many starts" for peer in peers)], body), foot])


def efficiency_text(done: dict[str, Any]) -> str:
    """The table of parts, and what share of the machine's product rate is reached."""
    whole = done["seconds"]["whole iteration"]["median"]
    body = []
    for name in (*PARTS, "the rest", "whole iteration"):
        ms = Spread(**done["seconds"][name]).scaled(1e3)
        share = f"{100 * ms.median / whole / 1e3:.0f} %"
        body.append([name, number(ms.median), f"{number(ms.low)} – {number(ms.high)}", share])
    title = f"### Where an iteration's time goes: {done['case']}, {done['restarts']} restarts, shared features"
    reached, products = done["share_of_sgemm"], done["share_of_sgemm_products_alone"]
    foot = (
        f"A {SIDE}³ float32 product runs at {done['sgemm_gflops']['median']:.0f} GFLOP/s on all cores. The iteration "
        f"needs {done['needed_gflop']:.2f} GFLOP (4·N·F·K·R) and reaches {_percent(reached)} of that rate. Its two "
        f"products alone, at their own shapes, reach {_percent(products)}: about the roof. At 80 % an iteration "
        f"would take {number(done['ms_at_80_percent'])} ms; the two products alone take "
        f"{number(done['ms_products'])} ms, features and softmax {number(done['ms_features_and_softmax'])} ms."
    )
    return "\n\n".join([title, table(["part", "ms", "range", "share"], body), foot])


def _percent(spread: dict[str, float]) -> str:
    return f"{100 * spread['median']:.0f} % ({100 * spread['low']:.0f} – {100 * spread['high']:.0f})"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=5, help="rounds (default: %(default)s)")
    options.add_argument("--budget", type=float, default=0.8, help="seconds a timed run aims at (default: %(default)s)")
    options.add_argument("--case", action="append", help="only cases of this name; may be given several times")
    arguments = options.parse_args()
    repeats, budget = (2, 0.1) if arguments.quick else (arguments.repeats, arguments.budget)
    where = record(repeats=repeats, budget=budget)
    chosen = [case for case in CASES if not arguments.case or case.name in arguments.case]
    if arguments.quick:
        chosen = [case.smaller() for case in chosen]
    print(f"{where['cpu']}, {where['cores']} cores, jax {jax.__version__}")
    cases = [measure(case, repeats, budget) for case in chosen]
    shares = [efficiency(case, r, repeats + 2) for case in chosen for r in case.restarts if (case.name, r) in PARTED]
    markdown = "\n\n".join(
        ["# Seconds per EM iteration", *map(text, cases), *map(efficiency_text, shares), provenance(where)]
    )
    write(arguments.out, "em_step", {"record": where, "cases": cases, "efficiency": shares}, markdown)


if __name__ == "__main__":
    main()
