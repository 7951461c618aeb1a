"""`jaxgmm select`: how many components, and of what shape."""

from __future__ import annotations

from typing import Any

import typer

import jaxgmm
from jaxgmm import SelectionResult
from jaxgmm.cli import INTERRUPTED, data, fit_options, options, output, select_options, summary
from jaxgmm.cli.errors import in_options
from jaxgmm.cli.interrupt import interruptible
from jaxgmm.cli.order import Order
from jaxgmm.families import FAMILIES
from jaxgmm.fit import progress
from jaxgmm.fit.engine import ENGINES
from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.selection.result import CRITERIA
from jaxgmm.starts.methods import METHODS

_COMPONENTS = "--components (-k)"


def select_command(
    path: options.Data,
    components: select_options.Sizes = "1:12",
    types: select_options.Types = "full,tied,diag,spherical",
    criterion: select_options.Criterion = "bic",
    out: select_options.Out = None,
    restarts: select_options.Restarts = 32,
    init: select_options.Method = "k-means++",
    tol: fit_options.Tol = 1e-5,
    max_iter: fit_options.MaxIter = 1000,
    max_seconds: fit_options.MaxSeconds = None,
    reg_covar: select_options.RegCovar = "auto",
    seed: options.Seed = 0,
    dtype: fit_options.DType = None,
    engine: fit_options.EngineName = "auto",
    cache: fit_options.CacheSize = "auto",
    columns: options.Columns = None,
    weights: options.Weights = None,
    array: options.ArrayName = None,
    sort: fit_options.Sort = None,
    report: select_options.Report = None,
    as_json: options.AsJson = False,
) -> None:
    """Tries every K and covariance type on the rows of DATA, and tells which explains them best for its size.

    Prints a table of them all, the winner marked, and saves the winner if there is an --out.
    """
    sizes = component_range(components)
    kinds = [arguments.choice("--types", kind.strip(), FAMILIES) for kind in types.split(",")]
    arguments.choice("--criterion", criterion, CRITERIA)
    arguments.choice("--init", init, METHODS)
    arguments.choice("--engine", engine, ENGINES)
    order = Order.asked(sort)
    ridge, held = fit_options.ridge(reg_covar), fit_options.cache(cache)
    if dtype is not None:
        arguments.choice("--dtype", dtype, fit_options.DTYPES)
    inputs = data.inputs(path, weights)
    output.check_writable(out, output.MODEL_SUFFIXES, inputs=inputs)
    output.check_writable(report, output.PICTURE_SUFFIXES, inputs=inputs)
    if report is not None:
        # Now, so that a missing matplotlib is heard of before the fits.
        from jaxgmm.cli.report import write_selection
    source = data.Source(path, array=array, columns=columns, weights=weights, sort_by=order.feature)
    rows = source.read()
    with progress.bar("select") as on_block, interruptible() as interruption:
        result = jaxgmm.select(
            seed, rows.x, sizes, covariance_types=kinds, criterion=criterion, n_init=restarts, init=init, tol=tol,
            max_iter=max_iter, max_seconds=max_seconds, reg_covar=ridge, dtype=dtype, engine=engine, cache=held,
            on_block=interruption.watching(on_block), sample_weight=rows.weights,
        )  # fmt: skip
    result = order.of(result, source)
    if out is not None:
        jaxgmm.save(out, result.best.mixture)
    if report is not None:
        write_selection(report, result, rows.x, title=path.name)
    if as_json:
        output.emit_json({"model": out, "report": report, "seed": seed, **of_selection(result, len(rows))})
    else:
        print(result)
        for cell in result.table:
            if cell.note:
                print(f"note     {cell.covariance_type}, {cell.n_components}: {in_options(cell.note)}")
        lines = [line for line in summary.fit_lines(result.best, len(rows)) if not line.startswith("time")]
        print("\n".join([*lines, f"time     {result.seconds:.1f} s for all"]))
        if written := [str(file) for file in (out, report) if file is not None]:
            print(f"written  {', '.join(written)}")
    if interruption.asked:
        raise typer.Exit(INTERRUPTED)


def component_range(text: str) -> list[int]:
    """1:12 as 1 … 12, 1:9:2 as every second of them, 2,3,5 as they stand; parts may be combined by commas.

    Raises:
        ValueError: it is none of these.
    """
    found: list[int] = []
    for part in text.split(","):
        try:
            first, *rest = (int(number) for number in part.split(":"))
        except ValueError:
            raise ArgumentError(_COMPONENTS, "be such as 1:12, 1:20:3 or 2,3,5", repr(text)) from None
        last, step = {0: (first, 1), 1: (*rest, 1)}.get(len(rest), rest[:2])
        if len(rest) > 2 or first < 1 or step < 1 or last < first:
            raise ArgumentError(_COMPONENTS, "count upwards from at least 1, as 1:12 does", repr(text))
        found += range(first, last + 1, step)
    return found


def of_selection(result: SelectionResult, n_rows: int) -> dict[str, Any]:
    """A `SelectionResult` as a dictionary."""
    return {
        "criterion": result.criterion,
        "winner": {"covariance_type": result.covariance_type, "n_components": result.n_components},
        "table": [
            {
                "covariance_type": cell.covariance_type,
                "n_components": cell.n_components,
                "n_parameters": cell.n_parameters,
                "log_likelihood": cell.log_likelihood,
                "criterion": cell.criterion,
                "standard_error": cell.standard_error,
                "status": None if cell.status is None else cell.status.name,
                "spurious": cell.spurious,
                "eligible": cell.eligible,
                "note": cell.note,
            }
            for cell in result.table
        ],
        "best": summary.of_fit(result.best, n_rows),
    }
