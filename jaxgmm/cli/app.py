"""The commands: options in, results to stdout or to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import jaxgmm
from jaxgmm import progress, validation
from jaxgmm.cli import INTERRUPTED, data, options, output, summary
from jaxgmm.cli.errors import Commands
from jaxgmm.cli.interrupt import interruptible
from jaxgmm.cli.select import select_command
from jaxgmm.families import FAMILIES
from jaxgmm.initialization import METHODS
from jaxgmm.kernel_choice import KERNEL_NAMES
from jaxgmm.settings import SEARCHES

_DRIVERS = ("em", "adam", "lbfgs")
_KERNELS = ("auto", *KERNEL_NAMES)


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Gaussian mixtures by expectation-maximisation: the best of hundreds of starts.",
    epilog="Exit codes: 0 done, 2 bad input, 3 the fit failed, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"jaxgmm {jaxgmm.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = (
        False
    ),
) -> None:
    """Shared by all commands."""


@app.command()
def fit(
    path: options.Data,
    n_components: options.Components,
    out: options.ModelOut,
    restarts: options.Restarts = None,
    covariance: options.Covariance = "full",
    driver: options.Driver = "em",
    init: options.Init = "k-means++",
    tol: options.Tol = 1e-5,
    stopping: options.Stopping = "log_likelihood",
    max_iter: options.MaxIter = 1000,
    max_seconds: options.MaxSeconds = None,
    reg_covar: options.RegCovar = "auto",
    prior: options.PriorName = None,
    on_degenerate: options.OnDegenerate = "reinit",
    search: options.Search = None,
    checkpoint: options.CheckpointFile = None,
    every: options.Every = 60.0,
    seed: options.Seed = 0,
    dtype: options.DType = None,
    kernel: options.KernelName = "auto",
    learning_rate: options.LearningRate = None,
    array: options.ArrayName = None,
    report: options.Report = None,
    as_json: options.AsJson = False,
) -> None:
    """Fits a mixture to the rows of DATA from many starts at once and saves the best.

    Example: jaxgmm fit rows.npy -k 8 --restarts 128 --out model.safetensors --report fit.png
    """
    validation.choice("--covariance", covariance, FAMILIES)
    validation.choice("--kernel", kernel, _KERNELS)
    if search is not None:
        validation.choice("--search", search, SEARCHES)
    ridge = options.ridge(reg_covar)
    if dtype is not None:
        validation.choice("--dtype", dtype, options.DTYPES)
    moves = _driver(driver, learning_rate)
    output.check_writable(out, output.MODEL_SUFFIXES, inputs=[path])
    output.check_writable(report, output.PICTURE_SUFFIXES, inputs=[path])
    if report is not None:
        # Now, so that a missing matplotlib is heard of before the fit.
        from jaxgmm.cli.report import write_report
    start = _start(init)
    rows = data.read(path, array=array).x
    if restarts is None and isinstance(start, str):
        restarts = 16
    with progress.bar() as on_block, interruptible() as interruption:
        result = jaxgmm.fit(
            seed, rows, n_components, covariance_type=covariance, n_init=restarts, init=start, driver=moves, tol=tol,
            stopping=stopping, max_iter=max_iter, max_seconds=max_seconds, reg_covar=ridge, prior=prior,
            on_degenerate=on_degenerate, kernel=kernel, dtype=dtype, on_block=interruption.watching(on_block),
            search=search, checkpoint=checkpoint, every=every,
        )  # fmt: skip
    jaxgmm.save(out, result.mixture)
    if report is not None:
        write_report(report, result, rows, title=path.name)
    if as_json:
        output.emit_json(
            {"model": out, "report": report, "driver": driver, "seed": seed, **summary.of_fit(result, len(rows))}
        )
    else:
        written = [str(out)] + ([] if report is None else [str(report)])
        print("\n".join([*summary.fit_lines(result, len(rows)), f"written  {', '.join(written)}"]))
    if interruption.asked:
        raise typer.Exit(INTERRUPTED)


def _driver(name: str, learning_rate: float | None) -> Any:
    validation.choice("--driver", name, _DRIVERS)
    if learning_rate is not None and name != "adam":
        raise ValueError(f"--learning-rate is for --driver adam; --driver {name} has none")
    if name == "em":
        return jaxgmm.EM()
    return jaxgmm.Gradient(name, **({} if learning_rate is None else {"learning_rate": learning_rate}))


def _start(init: str) -> Any:
    if init not in METHODS and Path(init).exists():
        return _load(Path(init))
    validation.choice("--init", init, METHODS)
    return init


def _load(path: Path) -> jaxgmm.Mixture:
    """A single mixture."""
    mixture = jaxgmm.load(path)
    if mixture.batch_shape:
        raise ValueError(f"{path}: holds a batch of mixtures, {mixture.batch_shape}; save one of them")
    return mixture


app.command("select")(select_command)


@app.command()
def predict(
    model: options.Model,
    path: options.Data,
    responsibilities: options.Responsibilities = False,
    out: options.Out = None,
    array: options.ArrayName = None,
) -> None:
    """Labels each row of DATA with its most probable component, counted from 0.

    A .npz holds `labels` (and `responsibilities`); a .npy holds the one asked for; CSV has a header.
    """
    output.check_writable(out, output.TABLE_SUFFIXES, inputs=[model, path])
    mixture = _load(model)
    rows = data.read(path, array=array, n_features=mixture.n_features).x
    names = ["label"]
    if responsibilities:
        shares = mixture.responsibilities(rows)
        columns = {"labels": shares.argmax(axis=1), "responsibilities": shares}
        names += [f"r{k}" for k in range(mixture.n_components)]
    else:
        columns = {"labels": mixture.predict(rows)}
    output.emit_table(out, names, columns)


@app.command()
def score(
    model: options.Model,
    path: options.Data,
    each: options.EachRow = False,
    as_json: options.AsJson = False,
    array: options.ArrayName = None,
) -> None:
    """Tells how well MODEL explains DATA: log-likelihood in nats (higher is better), BIC and AIC (lower is better)."""
    mixture = _load(model)
    rows = data.read(path, array=array, n_features=mixture.n_features).x
    if each:
        densities = mixture.score_samples(rows)
        if as_json:
            output.emit_json({"log_density": densities})
        else:
            output.emit_table(None, ["log_density"], {"log_density": densities})
        return
    total = mixture.log_likelihood(rows)
    facts = {
        "score": total / len(rows), "log_likelihood": total, **mixture.criteria(total, len(rows)),
        "n_rows": len(rows), "n_parameters": mixture.n_parameters,
    }  # fmt: skip
    if as_json:
        output.emit_json(facts)
        return
    print(f"mean  {facts['score']:.8g} nats per row\nsum   {total:.10g} nats over {len(rows)} rows")
    print(f"BIC   {facts['bic']:.10g}\nAIC   {facts['aic']:.10g}")


@app.command()
def sample(
    model: options.Model,
    n: options.HowMany,
    seed: options.Seed = 0,
    out: options.Out = None,
) -> None:
    """Draws rows from MODEL. A .npz holds `labels` too, the components they came from."""
    output.check_writable(out, output.TABLE_SUFFIXES, inputs=[model])
    mixture = _load(model)
    rows, labels = mixture.sample(seed, n)
    columns = {"labels": labels, "x": rows} if out is not None and out.suffix.lower() == ".npz" else {"x": rows}
    output.emit_table(out, [f"x{j}" for j in range(mixture.n_features)], columns)


@app.command()
def info(model: options.Model, as_json: options.AsJson = False) -> None:
    """Shows what MODEL holds: weights, means and standard deviations; with --json all covariances."""
    mixture = _load(model)
    if as_json:
        output.emit_json(summary.of_model(mixture))
    else:
        summary.print_model(mixture, str(model))


@app.command()
def demo(out: options.Folder = Path("jaxgmm-demo")) -> None:
    """Clusters the 273 280 pixel colours of a photograph: 128 starts by EM, the best few also by gradients.

    Takes about two minutes on two cores, and needs the extra plot.
    """
    from jaxgmm import demo

    demo.run(out, progress=progress.bar)
