"""Seconds per EM iteration against the number of rows, components, features and restarts, one at a time.

What should grow in proportion does, without a cliff where something stops fitting into a cache; in the number of
features the work is that of the products, quadratic once D is large.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import Spread, iterations_for, number, parser, provenance, record, slope, table, write
from pictures import COLOURS, figure, save

import jaxgmm

FEW = 1

_POWERS = {1: "in proportion", 2: "as its square"}


@dataclass(frozen=True)
class Shape:
    """A problem's size."""

    n: int = 65536
    k: int = 8
    d: int = 8
    r: int = 8


@dataclass(frozen=True)
class Axis:
    """One number that grows, and the power the time should grow with where it is large."""

    field: str
    label: str
    values: tuple[int, ...]
    power: int


AXES = (
    Axis("n", "rows N", tuple(2**p for p in range(12, 21)), 1),
    Axis("k", "components K", (1, 2, 4, 8, 16, 32, 64, 128), 1),
    Axis("d", "features D", (1, 2, 4, 8, 16, 32, 64), 2),
    Axis("r", "restarts R", (1, 2, 4, 8, 16, 32, 64, 128, 256), 1),
)


def fitted(shape: Shape, kernel: str) -> Callable[[int], float]:
    """m ↦ seconds of a fit with m iterations."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.standard_normal((shape.k, shape.d), dtype=np.float32)
    x = centres[rng.integers(shape.k, size=shape.n)] + rng.standard_normal((shape.n, shape.d), dtype=np.float32)
    means = x[rng.integers(shape.n, size=(shape.r, shape.k))]
    covariances = np.broadcast_to(np.diag(x.var(axis=0)), (shape.r, shape.k, shape.d, shape.d))
    batch = jaxgmm.Mixture.create(np.full((shape.r, shape.k), 1 / shape.k, np.float32), means, covariances)

    def run(m: int) -> float:
        begun = time.perf_counter()
        jaxgmm.fit(0, x, shape.k, init=batch, tol=0, max_iter=m, kernel=kernel, engine="jax")
        return time.perf_counter() - begun

    return run


def measure(shapes: list[Shape], kernel: str, repeats: int, budget: float) -> dict[Shape, Spread]:
    """Seconds per iteration of every shape; rounds of all shapes in turn."""
    runs = {shape: fitted(shape, kernel) for shape in shapes}
    many = {}
    for shape, run in runs.items():
        run(FEW)
        many[shape] = FEW + iterations_for(budget, slope(run, FEW, FEW + 3), 3)
        print(".", end="", flush=True)
    print()
    taken: dict[Shape, list[float]] = {shape: [] for shape in shapes}
    for turn in range(repeats):
        for shape in shapes[:: 1 if turn % 2 == 0 else -1]:
            # A slope below nothing is noise about nothing.
            taken[shape].append(max(slope(runs[shape], FEW, many[shape]), 1e-7))
    return {shape: Spread.of(values) for shape, values in taken.items()}


def local_powers(values: tuple[int, ...], times: list[float]) -> list[float]:
    """The power the time grows with between neighbouring values."""
    return (np.diff(np.log(times)) / np.diff(np.log(values))).tolist()


def draw(found: dict[str, Any], base: Shape, folder: Path) -> None:
    """Time against each axis, log-log, beside a line of the expected power."""
    drawn, axes = figure(1, len(AXES), (13, 3.7), sharey=True)
    for ax, axis in zip(axes[0], AXES, strict=True):
        values = found[axis.field]["values"]
        spreads = [Spread(**spread).scaled(1e3) for spread in found[axis.field]["seconds_per_iteration"]]
        middle = [spread.median for spread in spreads]
        x = np.array([values[0], values[-1]], float)
        ax.plot(x, middle[-1] * (x / x[-1]) ** axis.power, "--", color="#999999", lw=1.3, label=_POWERS[axis.power])
        ax.fill_between(values, [s.low for s in spreads], [s.high for s in spreads], color=COLOURS[0], alpha=0.15, lw=0)
        ax.plot(values, middle, "o-", color=COLOURS[0], lw=2, ms=5, label="jaxgmm")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        fixed = ", ".join(f"{a.field.upper()} = {getattr(base, a.field)}" for a in AXES if a.field != axis.field)
        ax.set_title(f"{axis.label}\n", fontweight="bold")
        ax.text(0, 1.03, fixed, transform=ax.transAxes, fontsize=8, color="#777777")
        ax.legend(loc="upper left", fontsize=8.5)
    lowest = min(s["median"] for axis in AXES for s in found[axis.field]["seconds_per_iteration"])
    axes[0][0].set_ylim(bottom=0.4e3 * lowest)
    axes[0][0].set_ylabel("ms per EM iteration, all restarts")
    save(drawn, folder, "growth")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=5, help="rounds (default: %(default)s)")
    options.add_argument(
        "--budget", type=float, default=0.15, help="seconds a timed run aims at (default: %(default)s)"
    )
    options.add_argument("--kernel", default="shared_feature", help="default: %(default)s")
    arguments = options.parse_args()
    repeats, budget = (2, 0.02) if arguments.quick else (arguments.repeats, arguments.budget)
    base = replace(Shape(), n=4096) if arguments.quick else Shape()
    axes = [replace(axis, values=axis.values[:-3]) if arguments.quick else axis for axis in AXES]
    where = record(repeats=repeats, budget=budget, kernel=arguments.kernel, base=vars(base))
    shapes = {axis.field: [replace(base, **{axis.field: value}) for value in axis.values] for axis in axes}
    times = measure(list(dict.fromkeys(s for line in shapes.values() for s in line)), arguments.kernel, repeats, budget)

    found, body = {}, []
    for axis in axes:
        line = [times[shape] for shape in shapes[axis.field]]
        powers = local_powers(axis.values, [spread.median for spread in line])
        found[axis.field] = {
            "values": axis.values, "expected_power": axis.power,
            "seconds_per_iteration": [spread.json() for spread in line], "local_powers": powers,
        }  # fmt: skip
        ends = [number(1e3 * line[i].median) for i in (0, -1)]
        span = f"{axis.values[0]} – {axis.values[-1]}"
        last = statistics.mean(powers[-2:])
        body.append([axis.label, span, *ends, str(axis.power), number(last, 2), number(max(powers), 2)])
    header = [
        "what grows",
        "range",
        "ms at least",
        "ms at most",
        "power expected",
        "over the last two steps",
        "steepest step",
    ]
    fixed = f"N = {base.n}, K = {base.k}, D = {base.d}, R = {base.r} where they do not grow."
    title = f"# Growth\n\nms per EM iteration of all restarts, float32, full covariances, {arguments.kernel}. {fixed}"
    markdown = "\n\n".join([title, table(header, body), provenance(where)])
    print(markdown)
    write(arguments.out, "growth", {"record": where, "axes": found}, markdown)
    draw(found, base, arguments.out)


if __name__ == "__main__":
    main()
