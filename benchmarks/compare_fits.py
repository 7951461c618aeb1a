"""Whether two versions of the library fit the same numbers, bit for bit: `python benchmarks/compare_fits.py REF`.

Both run here, on the same rows with the same keys, each in a process of its own; `REF` is unpacked beside this tree.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def _rows() -> dict[str, Any]:
    from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

    rng = np.random.default_rng(0)
    centres = 4 * rng.normal(size=(12, 6))
    factors = np.linalg.qr(rng.normal(size=(12, 6, 6)))[0] * rng.gamma(2.0, 0.3, size=(12, 1, 6))
    owner = rng.integers(12, size=20_000)
    many = centres[owner] + np.einsum("nde,ne->nd", factors[owner], rng.normal(size=(20_000, 6)))
    return {
        "iris": load_iris().data,
        "wine": load_wine().data[:, :6],
        "cancer": load_breast_cancer().data[:, :8],
        "bits": (load_digits().data[:500, 16:40] > 7).astype(np.float32),
        "many": many.astype(np.float32),
        "groups": rng.normal(size=(40, 60, 3)) + 3 * rng.integers(0, 2, size=(40, 60, 1)),
    }


def _problems() -> dict[str, Callable[[], Any]]:
    import jaxgmm
    from jaxgmm import Fixed, Gradient, Prior, fit, fit_many, select

    data = _rows()
    iris, single = data["iris"], data["iris"].astype(np.float32)
    weights = np.linspace(0.0, 2.0, len(iris))
    labels = np.where(np.arange(150) % 5 == 0, np.arange(150) // 50, -1)
    problems: dict[str, Callable[[], Any]] = {}
    for kind in ("full", "tied", "diag", "spherical"):
        problems[f"iris {kind}"] = partial(fit, 0, iris, 3, covariance_type=kind, n_init=16)
        problems[f"iris {kind} float32"] = partial(fit, 1, single, 4, covariance_type=kind, n_init=8)
    return problems | {
        "wine aitken": lambda: fit(2, data["wine"], 3, n_init=8, stopping="aitken", tol=1e-4),
        "cancer keep": lambda: fit(3, data["cancer"], 6, n_init=8, on_degenerate="keep", max_iter=60),
        "cancer revived": lambda: fit(4, data["cancer"].astype(np.float32), 9, n_init=8, max_iter=80),
        "bits": lambda: fit(5, data["bits"], 5, covariance_type="bernoulli", n_init=8),
        "many, all": lambda: fit(6, data["many"], 12, n_init=4, search="all", max_iter=60),
        "many, race": lambda: fit(7, data["many"], 12, n_init=24, search="race", max_iter=200),
        "kmeans": lambda: fit(8, iris, 3, init="kmeans", n_init=4),
        "random": lambda: fit(9, iris, 3, init="random", n_init=4, max_iter=100),
        "weights": lambda: fit(10, iris, 3, sample_weight=weights, n_init=4),
        "prior": lambda: fit(11, iris, 5, prior=Prior(concentration=2.0), n_init=8),
        "labels": lambda: fit(12, iris, 3, labels=labels, n_init=4),
        "fixed": lambda: fit(13, iris, 2, fixed=Fixed(means=[list(iris[:50].mean(0)), [np.nan] * 4]), n_init=4),
        "adam": lambda: fit(14, iris, 3, driver=Gradient("adam"), n_init=4, max_iter=100),
        "lbfgs": lambda: fit(15, iris, 3, driver=Gradient("lbfgs"), n_init=4, max_iter=30),
        "lbfgs centred": lambda: fit(15, iris, 3, driver=Gradient("lbfgs"), n_init=4, max_iter=30, kernel="centred"),
        "mini-batches": lambda: fit(16, iris, 3, driver=Gradient("adam", batch_size=50), n_init=4, max_iter=200),
        "select bic": lambda: select(17, iris, range(1, 6), n_init=4),
        "select cv": lambda: select(18, iris, range(1, 4), covariance_types="diag", criterion="cv", n_init=4),
        "fit_many": lambda: fit_many(19, data["groups"], 2, n_init=3),
        "fit_many float32": lambda: fit_many(
            20, data["groups"].astype(np.float32), 3, covariance_type="diag", prior="default"
        ),
        "sample": lambda: jaxgmm.fit(21, iris, 3).mixture.sample(0, 500)[0],
    }


def _numbers(result: Any) -> dict[str, Any]:
    """Everything that was found, by name."""
    if isinstance(result, np.ndarray):
        return {"rows": result}
    if hasattr(result, "table"):
        cells = [(c.log_likelihood, c.criterion, c.standard_error, c.spurious) for c in result.table]
        return {"table": np.array(cells, float), **_numbers(result.best)}
    held = getattr(result, "restarts", result)
    names = ("log_likelihood", "log_prior", "n_iter", "status", "spurious", "owed", "revivals", "passes", "remaining")
    found = {name: np.asarray(getattr(held, name)) for name in names}
    mixtures = held.mixtures
    components = mixtures.components
    parts = {field.name: getattr(components, field.name) for field in dataclasses.fields(components)}
    found |= {"best": np.asarray(result.best), "weights": np.asarray(mixtures.weights)}
    found |= {name: np.asarray(part) for name, part in parts.items()}
    return found | ({"history": np.asarray(result.history)} if hasattr(result, "history") else {})


def write(path: Path, wanted: list[str]) -> None:
    """Fits every problem and writes what was found to `path`."""
    held: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, solve in _problems().items():
            if not wanted or name in wanted:
                held |= {f"{name}: {part}": value for part, value in _numbers(solve()).items()}
    np.savez(path, **held)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers to the bit; whole numbers may be held in other widths."""
    if {a.dtype.kind, b.dtype.kind} <= set("iu"):
        return np.array_equal(a, b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def compare(old: Path, new: Path, wanted: list[str]) -> int:
    """Prints what differs between two such files; returns 1 if anything does."""
    with np.load(old) as before, np.load(new) as after, np.errstate(invalid="ignore"):
        names, worst = sorted({*before.files, *after.files}), 0
        names = [name for name in names if not wanted or name.partition(": ")[0] in wanted]
        for name in names:
            if name not in before.files or name not in after.files:
                print(f"{name}: only in one of them")
            elif not _same(before[name], after[name]):
                a, b = before[name], after[name]
                apart = f"at most {np.nanmax(np.abs(a - b)):.3g} apart" if a.shape == b.shape and a.size else "shapes"
                print(f"{name}: differs, {apart}")
            else:
                continue
            worst = 1
        problems = {name.partition(": ")[0] for name in names}
        print(f"{len(problems)} problems, {len(names)} arrays: {'some differ' if worst else 'the same to the bit'}")
    return worst


def _run(tree: Path, path: Path, wanted: list[str]) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "compare_fits.py"), "--write", str(path), *wanted]
    subprocess.run(command, check=True, cwd=path.parent, env=os.environ | {"PYTHONPATH": str(tree)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ref", nargs="?", help="what to compare with: a commit, a tag, a branch")
    parser.add_argument("problems", nargs="*", help="which problems; all by default")
    parser.add_argument("--write", metavar="FILE", type=Path, help="write this version's numbers instead")
    parser.add_argument("--with-file", metavar="FILE", type=Path, help="compare with numbers that were written before")
    given = parser.parse_args()
    names = ([given.ref] if given.ref and (given.write or given.with_file) else []) + given.problems
    if given.write:
        write(given.write, names)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder) / "new.npz", given.with_file or Path(folder) / "old.npz"
        if given.with_file is None:
            tree = Path(folder) / "old"
            tree.mkdir()
            packed = subprocess.run(["git", "archive", given.ref, "jaxgmm"], cwd=ROOT, check=True, capture_output=True)
            subprocess.run(["tar", "-x"], cwd=tree, input=packed.stdout, check=True)
            _run(tree, there, names)
        _run(ROOT, here, names)
        return compare(there, here, names)


if __name__ == "__main__":
    sys.exit(main())
