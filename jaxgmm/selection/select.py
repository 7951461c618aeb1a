"""How many components, and of what shape: all K of one covariance type in one batch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from jaxgmm.drivers import EM
from jaxgmm.em.choice import kernel_for
from jaxgmm.families import FAMILIES
from jaxgmm.fit.engine import runs_on_host
from jaxgmm.fit.result import FitError
from jaxgmm.inputs import arguments, precision
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.typing import Array, Key
from jaxgmm.inputs.wording import Wording
from jaxgmm.problem.checks import distinct_rows
from jaxgmm.problem.pose import pose
from jaxgmm.rows.source import Chosen, checked_rows
from jaxgmm.run import memory
from jaxgmm.run.options import Settings
from jaxgmm.run.record import BlockInfo, OnBlock
from jaxgmm.selection.cells import Contest
from jaxgmm.selection.folds import Folds
from jaxgmm.selection.result import CRITERIA, Cell, SelectionResult
from jaxgmm.sources.opening import opened
from jaxgmm.starts.methods import METHODS
from jaxgmm.starts.several_k import shapes
from jaxgmm.streams.room import checked_cache


def select(
    key: Key[Array, ""] | int,
    x: Any,
    n_components: Iterable[int] | int = range(1, 13),
    *,
    covariance_types: Iterable[str] | str = ("full", "tied", "diag", "spherical"),
    criterion: str = "bic",
    n_init: int = 32,
    init: str = "k-means++",
    sample_weight: Any = None,
    n_folds: int = 5,
    held_out: float = 0.2,
    tol: float = 1e-5,
    stopping: str = "log_likelihood",
    max_iter: int = 1000,
    max_seconds: float | None = None,
    reg_covar: float | Literal["auto"] = "auto",
    on_degenerate: str = "reinit",
    kernel: str = "auto",
    engine: str = "auto",
    dtype: Any = None,
    cache: str | int = "auto",
    on_block: OnBlock | None = None,
) -> SelectionResult:
    """Fits every K and covariance type asked for, and returns the one with the lowest criterion, and a table of all.

    Every cell is what `fit` finds with the same key and `n_init`, but that a sound restart always comes before a
    spurious one. All K of one covariance type run as one batch, folds included, so that they share every read of the
    rows and every compiled program.

    Args:
        key: a JAX key, or a seed; see `fit`. Folds are drawn from it, too.
        x: rows, (n, d); arrays, files or sources, as `fit` takes them.
        n_components: the K to try. Those above the number of distinct rows are reported as missing.
        covariance_types: of "full", "tied", "diag", "spherical"; or "bernoulli" alone.
        criterion: "bic", "aic", "icl": information criteria of all rows (`Mixture.bic`, `.aic`, `.icl`). "heldout",
            "cv": minus the mean log-likelihood of rows that the mixture has not seen, nats per row; the winner is the
            mixture of all rows. Lower is better throughout.
        n_init: how many starts each K has; with "heldout" and "cv" in each fold.
        init: how they start: "k-means++", "kmeans", "random_from_data", "random".
        sample_weight: (n,), how often each row counts.
        n_folds: of "cv". Rows are dealt to folds at random.
        held_out: of "heldout", the share of the rows that is kept back.
        max_seconds: the selection ends soon after; covariance types share what time there is. Types that have not begun
            by then are missing.
        tol, stopping, max_iter, reg_covar, on_degenerate, kernel, engine, dtype, cache, on_block: as `fit` has them.
            Where `on_block` asks to stop, covariance types that have not begun are missing.

    Returns:
        A `SelectionResult`.

    Raises:
        ValueError, TypeError: before anything is compiled, naming the argument, what it got and what it wants.
        FitError: no cell may win.
        MemoryError: the device has no room, however small the chunks.
    """
    kinds = [covariance_types] if isinstance(covariance_types, str) else list(covariance_types)
    kinds = list(dict.fromkeys(arguments.choice("covariance_types", kind, FAMILIES) for kind in kinds))
    if len({FAMILIES[kind].traits.support.discrete for kind in kinds}) != 1:
        discrete = [repr(name) for name, family in FAMILIES.items() if family.traits.support.discrete]
        named = f"name types with densities, or types with probabilities ({', '.join(discrete)})"
        raise ArgumentError("covariance_types", f"{named}, as only those of the same kind compare", str(kinds))
    criterion = arguments.choice("criterion", criterion, CRITERIA)
    settings = Settings.checked(
        tol=tol, stopping=stopping, max_iter=max_iter, max_seconds=max_seconds, reg_covar=reg_covar,
        on_degenerate=on_degenerate, kernel=kernel, on_block=on_block,
    )  # fmt: skip
    key = arguments.random_key(key)
    for kind in kinds:
        kernel_for(settings.kernel, FAMILIES[kind])

    def look(name: str, rows: Any, first_row: int = 0) -> None:
        for kind in kinds:
            FAMILIES[kind].check_rows(name, rows, first_row)

    source = checked_rows(*opened(x, sample_weight), look)
    sizes, cache = _sizes(n_components), checked_cache(cache)
    n_init, init = arguments.integer("n_init", n_init, 1), arguments.choice("init", init, METHODS)
    if (with_weight := source.present()) is not None:
        source = Chosen(source, with_weight)
    n, d = source.shape
    folds = _folds(key, criterion, n, n_folds, held_out)
    dtype = precision.compute_dtype(source, dtype=dtype)
    enough = min(distinct_rows(part, max(sizes)) for part in folds.training(source))
    fitted = [k for k in sizes if k <= enough]
    if not fitted:
        wants = f"hold a number of at most the distinct rows{folds.where}, {enough}"
        raise ArgumentError("n_components", wants, str(sizes))

    begun, missing = time.perf_counter(), f"more components than distinct rows{folds.where}, {enough}"
    stopped = False

    def told(info: BlockInfo) -> bool:
        nonlocal stopped
        stopped = stopped or (on_block is not None and on_block(info) is True)
        return stopped

    settings = replace(settings, on_block=told)
    table: list[Cell] = []
    best: tuple[float, Contest, int] | None = None
    for i, kind in enumerate(kinds):
        now, family = time.perf_counter(), FAMILIES[kind]
        blank = {k: Cell(kind, k, shapes(family, k, d).n_parameters, note=missing) for k in sizes}
        left = begun + settings.patience - now
        if i and (stopped or left <= 0):
            table += [replace(cell, note="not run: stopped before") for cell in blank.values()]
            continue
        own = replace(settings, kernel=kernel_for(settings.kernel, family))
        host = runs_on_host(
            engine, driver=EM(), search=None, kernel=own.kernel, family=family, shape=(n, d),
            n_components=max(fitted), n_init=n_init * len(fitted) * (folds.number + 1), max_iter=max_iter, tol=tol,
        )  # fmt: skip
        with precision.scope(dtype, host), memory.explained():
            problem = pose(source, family, max(fitted), settings.reg_covar, None, dtype, on_host=host, cache=cache)
            contest = Contest.held(
                key,
                problem,
                own,
                fitted,
                n_init,
                init,
                folds,
                now + left / (len(kinds) - i),
                dtype,
            )
        for cell in contest.cells([replace(blank[k], note="") for k in fitted], criterion):
            blank[cell.n_components] = cell
            if cell.eligible and (best is None or cell.criterion < best[0]):
                best = cell.criterion, contest, cell.n_components
        table += blank.values()
    if best is None:
        complaints = (
            Wording("{kind}, {k}: {note}", kind=cell.covariance_type, k=cell.n_components, note=cell.note)
            for cell in table
        )
        raise FitError(Wording("no cell can win: {complaints}", complaints=Wording.joined("; ", complaints)))
    seconds = time.perf_counter() - begun
    winner = best[1].result(best[2], seconds)
    return SelectionResult(tuple(table), criterion, winner, winner.total_weight, seconds)


def _sizes(n_components: Any) -> list[int]:
    given = [n_components] if np.ndim(n_components) == 0 and not isinstance(n_components, Iterable) else n_components
    sizes = sorted({arguments.integer("n_components", k, 1) for k in given})
    if not sizes:
        raise ArgumentError("n_components", "hold at least one number", "none")
    return sizes


def _folds(key: Any, criterion: str, n: int, n_folds: Any, held_out: Any) -> Folds:
    if criterion == "cv":
        n_folds = arguments.integer("n_folds", n_folds, 2)
        if n_folds > n:
            raise ArgumentError("n_folds", f"be at most the number of rows with weight, {n}", str(n_folds))
        return Folds.dealt(key, n, n_folds)
    if criterion == "heldout":
        share = arguments.real("held_out", held_out)
        if not (0 < share < 1 and 0 < round(share * n) < n):
            raise ArgumentError("held_out", f"keep back some of the {n} rows, but not all", str(held_out))
        return Folds.split(key, n, round(share * n))
    return Folds.none(n)
