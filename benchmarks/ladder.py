"""The tightness ladder: the error of one EM step on data that grow harder rung by rung, for every Gaussian family.

Rows and start parameters are rounded to the dtype under test; the reference takes one step from the same numbers in
extended precision (`ladder_data.py`). Contenders are in `ladder_steps.py`, the picture in `ladder_picture.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from common import RESULTS, parser, provenance, record, table, write
from ladder_data import AXES, BOUNDS, DTYPES, FAMILIES, D, Errors, K, N, Rung, case, errors, reference_step, rungs
from ladder_picture import draw
from ladder_steps import CELLS, PEERS, jaxgmm_step, misjudged

DOCS = Path(__file__).parents[1] / "docs"
AUTO = "jaxgmm auto"


def climb(family: str, axis: str, rung: Rung, dtype: str) -> dict[str, Any]:
    """Everyone's error on one rung."""
    data = case(family, rung, dtype)
    truth = reference_step(family, data.x, data.weights, data.means, data.factor)
    unrounded = case(family, rung, "float64").x
    lost = errors(truth, reference_step(family, unrounded, data.weights, data.means, data.factor))
    ours = jaxgmm_step(data, "auto", truth, attribute=True)
    forced = {name: jaxgmm_step(data, name, truth) for name in ("centred", "shared_feature")}
    found: dict[str, Any] = {AUTO: asdict(ours.errors)}
    found |= {f"jaxgmm {name}": asdict(step.errors) for name, step in forced.items()}
    in_cells = jaxgmm_step(data, CELLS, truth)
    found[f"jaxgmm {CELLS}"] = asdict(in_cells.errors)
    for name, step in PEERS[dtype].items():
        error = attempted(partial(step, data, truth))
        if error is not None:
            found[name] = error
    return {
        "family": family,
        "dtype": dtype,
        "axis": axis,
        "rung": str(rung) if axis == "combined" else f"{axis} {getattr(rung, axis):g}",
        **asdict(rung),
        "resolution": data.resolution,
        "lost_by_rounding_the_rows": asdict(lost),
        "kernel": ours.kernel,
        "conditioning": ours.conditioning,
        "within_bounds": ours.errors.within(dtype),
        "misjudged": misjudged(ours.kernel, forced["shared_feature"].errors, dtype),
        "from_start": asdict(ours.from_start) if ours.from_start else None,
        "arithmetic": asdict(ours.arithmetic) if ours.arithmetic else None,
        "stored_mean": ours.stored_mean,
        "contenders": found,
    }


def attempted(step: Callable[[], Errors | None]) -> dict[str, Any] | None:
    """The step's errors, or the name of the exception that stood in its way; None where it is not to be had."""
    try:
        found = step()
    except ImportError as missing:
        print(f"skipped: {missing}")
        return None
    except Exception as failure:
        # Whatever a peer raises on hard data is its result.
        return {"failed": type(failure).__name__}
    return None if found is None else asdict(found)


# ---- tables --------------------------------------------------------------------------------------------------


def worst(entries: Sequence[dict[str, Any]], what: str) -> float:
    """The largest error among families; infinite where one of them failed."""
    values = [entry.get(what, math.nan) for entry in entries]
    return max((math.inf if math.isnan(value) else value for value in values), default=math.nan)


def cell(entries: Sequence[dict[str, Any]], dtype: str) -> str:
    """Worst log-likelihood and covariance error, in bold beyond a bound."""
    if not entries:
        return "–"
    failures = sorted({entry["failed"] for entry in entries if "failed" in entry})
    if failures:
        return f"**{', '.join(failures)}**"
    parts = []
    for what, bound in zip(("log_likelihood", "covariance"), BOUNDS[dtype], strict=True):
        value = worst(entries, what)
        text = "NaN" if math.isinf(value) else f"{value:.0e}"
        parts.append(text if value <= bound else f"**{text}**")
    return " / ".join(parts)


def ladder_table(results: Sequence[dict[str, Any]], dtype: str, names: Sequence[str]) -> str:
    """Rungs against contenders, the worst family in each cell."""
    body = []
    for rung in dict.fromkeys(entry["rung"] for entry in results):
        here = [entry for entry in results if entry["rung"] == rung]
        kernels = {entry["kernel"] for entry in here}
        kernel = kernels.pop() if len(kernels) == 1 else "both"
        cells = [cell([e["contenders"][n] for e in here if n in e["contenders"]], dtype) for n in names]
        body.append([rung, kernel, *cells])
    return table(["rung", "auto takes", *names], body)


def attribution_table(results: Sequence[dict[str, Any]]) -> str:
    """Where jaxgmm's error arises, the worst of each axis."""
    kinds = ("contenders", "from_start", "arithmetic", "lost_by_rounding_the_rows")
    body = []
    for axis in dict.fromkeys(entry["axis"] for entry in results):
        here = [entry for entry in results if entry["axis"] == axis]
        cells = []
        for kind in kinds:
            parts = [entry[kind][AUTO] if kind == "contenders" else entry[kind] for entry in here]
            cells.append(f"{worst(parts, 'log_likelihood'):.0e} / {worst(parts, 'covariance'):.0e}")
        means = [max(entry["contenders"][AUTO]["mean"] for entry in here), max(entry["stored_mean"] for entry in here)]
        body.append([axis, *cells, *(f"{value:.0e}" for value in means)])
    header = [
        "axis",
        "error",
        "less the start's rounding",
        "less the rows' too",
        "rounding the data costs",
        "mean, std",
        "mean as stored, std",
    ]
    return table(header, body)


def report(results: Sequence[dict[str, Any]]) -> Iterable[str]:
    """The Markdown, part by part."""
    yield (
        f"# Tightness ladder\n\nError of one EM step, N = {N}, K = {K}, D = {D}, worst family: log-likelihood in nats "
        "per row / covariance, relative in the worst direction. Bold: beyond the bound, or failed."
    )
    for dtype in DTYPES:
        here = [entry for entry in results if entry["dtype"] == dtype]
        names = list(dict.fromkeys(name for entry in here for name in entry["contenders"]))
        bounds = " / ".join(f"{bound:.0e}" for bound in BOUNDS[dtype])
        yield f"## {dtype}, bounds {bounds}\n\n{ladder_table(here, dtype, names)}"
        yield f"### Where jaxgmm's error arises, {dtype}\n\n{attribution_table(here)}"
    outside = [f"{e['dtype']} {e['family']}, {e['rung']}: bounds" for e in results if not e["within_bounds"]]
    wrong = [f"{e['dtype']} {e['family']}, {e['rung']}: {e['misjudged']}" for e in results if e["misjudged"]]
    lines = "\n".join(f"- {line}" for line in outside + wrong) or "None."
    yield f"## Violations, of {len(results)} rungs\n\n{lines}"


def main() -> None:
    arguments = parser(__doc__).parse_args()
    families = ("full", "spherical") if arguments.quick else FAMILIES
    where = record(n=N, k=K, d=D, bounds=BOUNDS, axes=AXES)
    results = []
    for dtype in DTYPES:
        for family in families:
            results += [climb(family, axis, rung, dtype) for axis, rung in rungs(family)]
            print(f"{dtype} {family}: {len(results)} rungs so far", flush=True)
    markdown = "\n\n".join([*report(results), provenance(where)])
    print(markdown)
    write(arguments.out, "ladder", {"record": where, "rungs": results}, markdown)
    draw(results, DOCS if arguments.out == RESULTS else arguments.out)


if __name__ == "__main__":
    main()
