"""The straight line: rows → starts → restarts → the best of them."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from jaxgmm.drivers import EM, Driver
from jaxgmm.em.choice import kernel_for
from jaxgmm.families import FAMILIES
from jaxgmm.fit import engine as engines
from jaxgmm.fit.diagnostics import Diagnosis, diagnose
from jaxgmm.fit.progress import bar, both
from jaxgmm.fit.result import FitResult, complaint, warn_of
from jaxgmm.fit.search import checked_search, chosen_search, searched
from jaxgmm.inputs import arguments, precision, telling, trees
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.typing import Array, Key
from jaxgmm.problem.fixed import Fixed, checked_fixed
from jaxgmm.problem.labels import checked_labels
from jaxgmm.problem.pose import pose
from jaxgmm.problem.prior import Prior, checked_prior
from jaxgmm.race.rounds import RaceEnded
from jaxgmm.rows import ArraySource
from jaxgmm.rows.rungs import slots_for
from jaxgmm.rows.source import Chosen, checked_rows
from jaxgmm.run import memory
from jaxgmm.run.checkpoint import Checkpoint, CheckpointError, fingerprints
from jaxgmm.run.options import Settings
from jaxgmm.run.record import Ended, OnBlock
from jaxgmm.run.search import All, Search, Task
from jaxgmm.run.status import Status
from jaxgmm.shards import checked_mesh
from jaxgmm.shards.hosts import agreed, together, writes
from jaxgmm.sources.opening import opened
from jaxgmm.starts.given import checked_init, held_in, make_starts, of_rows
from jaxgmm.streams.room import checked_cache

_NO_PART_OF_THE_ANSWER = ("on_block", "progress", "checkpoint", "every", "max_seconds", "cache", "devices")


def fit(
    key: Key[Array, ""] | int,
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    n_init: int | None = None,
    init: Any = "k-means++",
    sample_weight: Any = None,
    labels: Any = None,
    component_labels: Any = None,
    fixed: Fixed | None = None,
    driver: Driver | None = None,
    tol: float = 1e-5,
    stopping: str = "log_likelihood",
    max_iter: int = 1000,
    max_seconds: float | None = None,
    reg_covar: float | Literal["auto"] = "auto",
    prior: Prior | str | None = None,
    on_degenerate: str = "reinit",
    search: str | Search | None = None,
    kernel: str = "auto",
    engine: str = "auto",
    dtype: Any = None,
    cache: str | int = "auto",
    devices: Any = None,
    on_block: OnBlock | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    every: float = 60.0,
) -> FitResult:
    """Fits a mixture from `n_init` starts at once and returns the best, and all the others.

    Args:
        key: a JAX key, or a seed. Restart i starts from fold_in(key, i), whatever `n_init`.
        x: rows, (n, d); anything array-like, memory maps included. Or a path, a folder, a pattern, a list of files, an
            array of h5py, zarr or dask, or a source (`jaxgmm.sources`), which gives rows block by block, with weights
            and labels of its own. float64 rows compute in float64, all others in float32.
        n_components: how many components, K.
        covariance_type: "full", "tied", "diag", "spherical"; or "bernoulli" for rows of zeros and ones.
        n_init: how many starts; 1 by default, or as many as `init` holds.
        init: "k-means++", "kmeans" (ten rounds of it; both on a sample of the rows, if there are more than 8192, and
            than 256 for each component), "random_from_data", "random"; a `Mixture`, or a batch of them; labels (n,) or
            (r, n); responsibilities (n, k) or (r, n, k). Or a pair (such starts, a name): the name's method makes as
            many others as `n_init` says.
        sample_weight: (n,), how often each row counts; 1 by default. A row with weight 0 is as if left out.
        labels: (n,), which component each row belongs to, −1 where unknown. Its responsibility stays there, and the
            log-likelihood is that of rows and labels together. Where every row's component is known there is one
            start, the estimate from the components' own rows, and it is the answer. Where every component has a label
            of its own, starts that pick rows are all alike.
        component_labels: (k,), the label of each component, so that several may share one; −1 for those that hold
            only rows without a label. By default component k has label k.
        fixed: a `Fixed`, parameters that stay as given.
        driver: how parameters move: `EM()` by default; `Squarem()`, which takes fewer passes where EM is slow;
            `HardEM()`, to which every row belongs whole to one component; or `Gradient(...)`.
        tol: a restart has converged when a step changes less; 0 runs exactly `max_iter` iterations.
        stopping: what `tol` is compared with. "log_likelihood": the change of the mean log-likelihood (with a prior,
            log-posterior), in nats per row. "aitken": what it is still predicted to rise by. "parameters": the largest
            move, of means in standard deviations of their component, of covariance factors and weights as shares.
            "change": as "log_likelihood", but also while changes still grow, as in scikit-learn.
        max_iter: the most iterations a restart may take.
        max_seconds: the fit ends soon after, with the best so far; looked at between blocks of iterations, and within
            them where rows are read anew.
        reg_covar: the ridge: added to each covariance's diagonal, in squared units of the data; for "bernoulli"
            pseudo-observations of each value per row. "auto" adds 1e-6 of the variance of each feature's densest rows
            (a tenth of them, or more where those are equal), and nothing beside a prior.
        prior: None for maximum likelihood; "default", weak and scale-free, or a `Prior`, for the maximum a posteriori.
        on_degenerate: what becomes of a restart with a component that loses its rows or collapses onto a few of them.
            "reinit" puts the component on badly explained rows, up to 5 times; "stop" ends the restart; "keep" goes
            on as long as numbers are finite.
        search: "race" runs every start a little, on samples of the rows, lets the leaders try jumps out of their
            optimum, and runs the best few to the end on all rows (see `FitResult.rounds`); "all" runs every start to
            its end, and so does "race" with fewer than eight starts or 50 iterations, tol=0, mini-batches, labels or
            fixed parameters. By default a race where `init` is a method's name and rows × starts × parameters come
            to 5e8: for less, all starts take less time than a race takes to compile. Or a `Search` object, such as
            `Race(RaceRules(finalists=5))`.
        kernel: "shared_feature", "shared_feature_64", "centred", or "auto", which chooses for each restart the fastest
            that its conditioning allows.
        engine: who computes. "numpy": NumPy, in float64 whatever the rows' dtype, and nothing is compiled. "jax":
            compiled programs, on whatever device JAX has. "auto" takes NumPy where the fit is likely to end before a
            program would be compiled, and begins anew with a program where it does not. Starts are the same with
            either, and so are optima, to the rounding of the dtype.
        dtype: "float32" or "float64", to compute in another precision than the rows'.
        cache: how much of the rows stays where passes read them: "all"; "none", then every pass reads `x` anew, a block
            at a time; so many bytes, and later passes read the rest; or "auto", all where half of the free memory holds
            them, else as much as that. However little it is, the answer is the same up to rounding. NumPy always holds
            all of them, and so do several devices.
        devices: None for one device; "all", a number, a list of devices or a `jax.sharding.Mesh`: rows are divided
            among them, and all that goes between them in a pass are sums.
        on_block: called with a `BlockInfo` between blocks of iterations; returns True to end the fit there.
        progress: show a bar on stderr while the fit runs (needs rich).
        checkpoint: a file to keep the state of the fit in, removed when it has ended. The same call takes up a fit
            that was killed, and on the same machine comes to the same answer bit for bit.
        every: how many seconds lie between two writings of `checkpoint`, at least.

    Returns:
        A `FitResult`. One warning says so if even the best restart is degenerate or spurious, or if the ridge costs
        it more than 0.01 nats per row.

    Raises:
        ValueError, TypeError: before anything is compiled, naming the argument, what it got and what it wants.
        FitError: no restart stayed finite.
        MemoryError: the device has no room, however small the chunks.
        PeerError: another process that computes with this one has ended (`jaxgmm.shards.hosts`).
        CheckpointError: `checkpoint` is of a fit to other data or with other options, or is damaged.
    """
    given = {name: value for name, value in locals().items() if name not in _NO_PART_OF_THE_ANSWER}
    family = FAMILIES[arguments.choice("covariance_type", covariance_type, FAMILIES)]
    kernel, cache = kernel_for(kernel, family), checked_cache(cache)
    key = arguments.random_key(key)
    source = checked_rows(*opened(x, sample_weight, labels), family.check_rows)
    n, d = source.shape
    n_components = arguments.integer("n_components", n_components, 1)
    with_weight = source.present()
    present = n if with_weight is None else int(np.count_nonzero(with_weight))
    search = checked_search("all" if search is None and not isinstance(init, str) else search)
    settings = Settings.checked(
        tol=tol, stopping=stopping, max_iter=max_iter, max_seconds=max_seconds, reg_covar=reg_covar,
        on_degenerate=on_degenerate, kernel=kernel, on_block=on_block,
    )  # fmt: skip
    if n_components > present:
        weighted = "" if source.weights is None else " with weight"
        wants = f"be at most the number of rows{weighted}, {present}"
        raise ArgumentError("n_components", wants, str(n_components))
    mesh = checked_mesh(devices)
    if mesh is not None:
        if cache not in ("auto", "all"):
            raise ArgumentError("cache", "be 'auto' or 'all' with devices", repr(cache), "they hold all of their rows")
        engine = "jax" if engine == "auto" else engine
        if engine == "numpy":
            raise ArgumentError("engine", "be 'jax' or 'auto' here", "'numpy'", "devices need JAX")
    prior = checked_prior(prior, family, d)
    driver = EM() if driver is None else driver
    if not isinstance(driver, Driver):
        wants = "be a driver such as EM() or Gradient(...)"
        raise ArgumentTypeError("driver", wants, arguments.shown(driver))
    if trees.is_leaf(driver):
        hint = "decorate its class with jax.tree_util.register_dataclass"
        raise ArgumentTypeError("driver", "be a pytree", f"{type(driver).__name__}, which is none", hint)
    if driver.stochastic and stopping != "log_likelihood":
        wants = "be 'log_likelihood' for mini-batches"
        raise ArgumentError("stopping", wants, repr(stopping), "single steps are noise")
    init = checked_init(init, n_init, family, n_components, source.shape)
    kept = slice(None) if with_weight is None else with_weight
    known = checked_labels(source.labels, component_labels, n_components, kept)
    held_fixed = checked_fixed(fixed, family, n_components, d)
    dtype = precision.compute_dtype(source, dtype=dtype)
    programs = (family, n_components, d, slots_for(present), dtype)
    host = engines.runs_on_host(
        engine, driver=driver, search=search, kernel=kernel, family=family, shape=(present, d), max_iter=max_iter,
        n_components=n_components, n_init=n_init or held_in(init) or 1, tol=tol,
        compiled=programs if checkpoint is None else None,  # a fit that is taken up again must be the same
    )  # fmt: skip

    # As checked: arrays, whatever they came as.
    rows_alone = ArraySource(source.x) if isinstance(source, ArraySource) else source
    given |= {"key": key, "x": rows_alone, "sample_weight": source.weights, "init": init, "fixed": held_fixed}
    given |= {"labels": None if known is None else (known, source.labels), "component_labels": None}
    given |= {"engine": "numpy" if host else "jax"}
    every = arguments.real("every", every)
    own = mesh is None or writes()
    saved = None if checkpoint is None else Checkpoint(checkpoint, every, fingerprints(**given), own)
    if saved is not None and mesh is not None and agreed(saved.stamp()) != saved.stamp():
        raise CheckpointError(f"{saved.path} is not one file for all processes of this fit")
    begun = time.perf_counter()
    if with_weight is not None:
        source = Chosen(source, with_weight)
        init = of_rows(init, np.flatnonzero(with_weight))
    owners = known.owners(source.labels) if known is not None and isinstance(init, str) else None
    if owners is not None:
        init = owners[None]

    def run(host: bool, deadline: float) -> tuple[Diagnosis, Ended]:
        """The fit, its mixtures in the coordinates of the data; and what they are judged by."""
        with precision.scope(dtype, host), memory.explained(), together(mesh):
            ridge = settings.reg_covar
            posed = pose(
                source,
                family,
                n_components,
                ridge,
                prior,
                dtype,
                known,
                held_fixed,
                on_host=host,
                cache=cache,
                mesh=mesh,
            )
            starts = make_starts(key, posed, init, n_init or 1)
            with bar() if progress else contextlib.nullcontext() as shown:
                watched = replace(settings, on_block=both(shown, settings.on_block))
                task = Task(key, posed, driver, starts, watched, deadline, checkpoint=saved)
                ended = searched(All() if host else chosen_search(search, task), task)
            mixtures = posed.frame.to_data(ended.restarts.mixtures, dtype)
            diagnosis = diagnose(posed, ended.restarts.mixtures)
            return diagnosis, replace(ended, restarts=replace(ended.restarts, mixtures=mixtures))

    deadline = begun + settings.patience
    hurried = host and engine == "auto" and saved is None
    diagnosis, ended = run(host, min(deadline, begun + engines.patience()) if hurried else deadline)
    if hurried and ended.cut_short == Status.TIME_LIMIT and time.perf_counter() < deadline:
        host = False  # it takes longer than it looked: a program will have been worth compiling
        with telling.silence():  # of the rows all has been said
            diagnosis, ended = run(host, deadline)
    if not host:
        engines.remember(programs)
    if saved is not None and ended.cut_short is None:
        saved.fit_ended()
    result = FitResult.of(
        diagnosis.judged(ended.restarts),
        diagnosis,
        seconds=time.perf_counter() - begun,
        history=ended.history,
        rounds=ended.rounds if isinstance(ended, RaceEnded) else (),
        engine="numpy" if host else "jax",
    )
    warn_of(complaint(result))
    return result
