"""`jaxgmm fit`: the best of many starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

import jaxgmm
from jaxgmm.cli import INTERRUPTED, data, fit_options, options, output, summary
from jaxgmm.cli.commands.common import load_one
from jaxgmm.cli.interrupt import interruptible
from jaxgmm.cli.order import Order
from jaxgmm.drivers import Driver
from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.families import FAMILIES
from jaxgmm.fit import progress
from jaxgmm.fit.engine import ENGINES
from jaxgmm.fit.search import SEARCHES
from jaxgmm.inputs import arguments
from jaxgmm.shards.hosts import writes
from jaxgmm.starts.methods import METHODS

_PLAIN = {"em": jaxgmm.EM, "squarem": jaxgmm.Squarem, "hard-em": jaxgmm.HardEM}
_DRIVERS = (*_PLAIN, "adam", "lbfgs")
_KERNELS = ("auto", *KERNEL_NAMES)


def fit_command(
    path: options.Data,
    n_components: fit_options.Components,
    out: fit_options.ModelOut,
    restarts: fit_options.Restarts = None,
    covariance: fit_options.Covariance = "full",
    driver: fit_options.Driver = "em",
    init: fit_options.Init = "k-means++",
    tol: fit_options.Tol = 1e-5,
    stopping: fit_options.Stopping = "log_likelihood",
    max_iter: fit_options.MaxIter = 1000,
    max_seconds: fit_options.MaxSeconds = None,
    reg_covar: fit_options.RegCovar = "auto",
    prior: fit_options.PriorName = None,
    on_degenerate: fit_options.OnDegenerate = "reinit",
    search: fit_options.Search = None,
    checkpoint: fit_options.CheckpointFile = None,
    every: fit_options.Every = 60.0,
    seed: options.Seed = 0,
    dtype: fit_options.DType = None,
    kernel: fit_options.KernelName = "auto",
    engine: fit_options.EngineName = "auto",
    cache: fit_options.CacheSize = "auto",
    devices: fit_options.Devices = None,
    distributed: fit_options.Distributed = None,
    learning_rate: fit_options.LearningRate = None,
    columns: options.Columns = None,
    weights: options.Weights = None,
    labels: options.Labels = None,
    array: options.ArrayName = None,
    sort: fit_options.Sort = None,
    report: fit_options.Report = None,
    as_json: options.AsJson = False,
) -> None:
    """Fits a mixture to the rows of DATA from many starts at once and saves the best.

    MODEL is a .safetensors file, which the other commands read. Ctrl-C ends the fit with the best so far, saved; a
    second one ends the program. Rows of large text and Parquet files are kept in a temporary file meanwhile, in the
    folder that TMPDIR names.
    """
    arguments.choice("--covariance", covariance, FAMILIES)
    arguments.choice("--kernel", kernel, _KERNELS)
    arguments.choice("--engine", engine, ENGINES)
    if search is not None:
        arguments.choice("--search", search, SEARCHES)
    ridge, held = fit_options.ridge(reg_covar), fit_options.cache(cache)
    if dtype is not None:
        arguments.choice("--dtype", dtype, fit_options.DTYPES)
    order = Order.asked(sort, labels)
    moves = _driver(driver, learning_rate)
    inputs = data.inputs(path, weights, labels)
    output.check_writable(out, output.MODEL_SUFFIXES, inputs=inputs)
    output.check_writable(report, output.PICTURE_SUFFIXES, inputs=inputs)
    output.check_writable(checkpoint, inputs=[*inputs, *([] if init in METHODS else [Path(init)])])
    output.check_apart(**{"--checkpoint": checkpoint, "--out": out, "--report": report})
    arguments.real("--every", every)
    if report is not None:
        # Now, so that a missing matplotlib is heard of before the fit.
        from jaxgmm.cli.report import write_report
    start, mesh = _start(init), fit_options.on_devices(devices, distributed)
    source = data.Source(
        path, array=array, columns=columns, weights=weights, labels=labels, sort_by=order.feature
    )  # fmt: skip
    rows = source.read()
    known = {} if rows.labels is None else {"labels": rows.labels}
    if restarts is None and isinstance(start, str):
        restarts = 16
    with progress.bar() as on_block, interruptible() as interruption, order.pending():
        result = jaxgmm.fit(
            seed, rows.x, n_components, covariance_type=covariance, n_init=restarts, init=start, driver=moves, tol=tol,
            stopping=stopping, max_iter=max_iter, max_seconds=max_seconds, reg_covar=ridge, prior=prior,
            on_degenerate=on_degenerate, kernel=kernel, engine=engine, dtype=dtype, cache=held, devices=mesh,
            on_block=interruption.watching(on_block), search=search, checkpoint=checkpoint, every=every,
            sample_weight=rows.weights, **known,
        )  # fmt: skip
    if not writes():
        return
    result = order.of(result, source)
    jaxgmm.save(out, result.mixture)
    if report is not None:
        write_report(report, result, rows.x, title=path.name)
    if as_json:
        output.emit_json(
            {"model": out, "report": report, "driver": driver, "seed": seed, **summary.of_fit(result, len(rows))}
        )
    else:
        written = [str(out)] + ([] if report is None else [str(report)])
        print("\n".join([*summary.fit_lines(result, len(rows)), f"written  {', '.join(written)}"]))
    if interruption.asked:
        raise typer.Exit(INTERRUPTED)


def _driver(name: str, learning_rate: float | None) -> Driver:
    arguments.choice("--driver", name, _DRIVERS)
    if learning_rate is not None and name != "adam":
        raise ValueError(f"--learning-rate is for --driver adam; --driver {name} has none")
    if name in _PLAIN:
        return _PLAIN[name]()
    return jaxgmm.Gradient(name, **({} if learning_rate is None else {"learning_rate": learning_rate}))


def _start(init: str) -> Any:
    if init not in METHODS and (Path(init).suffix.lower() in output.MODEL_SUFFIXES or Path(init).exists()):
        return load_one(Path(init))
    arguments.choice("--init", init, METHODS)
    return init
