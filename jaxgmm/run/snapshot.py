"""Runs as named arrays and back, for checkpoints."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgmm.mixture import Mixture
from jaxgmm.run.record import Run
from jaxgmm.run.status import Status

# Names of kernels as their bytes: files hold numbers only.
_LETTERS = 16


def of_tree(name: str, tree: Any) -> dict[str, Any]:
    """The leaves of `tree`, NumPy."""
    return {f"{name}.{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def to_tree(name: str, held: dict[str, Any], like: Any) -> Any:
    """A tree like `like` from the leaves in `held`."""
    leaves, structure = jax.tree.flatten(like)
    found = [jnp.asarray(held[f"{name}.{i}"], leaf.dtype) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, found)


_HOST = ("status", "kernels", "first", "block", "revivals", "evaluations", "evaluated_at")


def of_host(host: Any) -> dict[str, Any]:
    """Where the host's side of a run stands between two blocks; see `restarts`."""
    held = {name: np.asarray(getattr(host, name)) for name in _HOST}
    held["history"] = host.history.values
    held["halvings"] = np.asarray(host.controls.halvings)
    if host.exact is not None:
        held["exact"] = np.asarray(host.exact)
    return held | of_tree("pool", host.pool)


def restore(host: Any, held: dict[str, Any]) -> None:
    """Puts a fresh `host` where another one stood."""
    for name in _HOST:
        value = held[name]
        setattr(host, name, int(value) if value.ndim == 0 else value.copy())
    host.history.values = held["history"].copy()
    host.exact = held.get("exact")
    host.controls = replace(host.controls, halvings=int(held["halvings"]))
    host.pool = to_tree("pool", held, host.pool)


def of_run(run: Run) -> dict[str, Any]:
    """How a run ended."""
    plain = {f.name: getattr(run, f.name) for f in fields(run) if f.name not in ("mixtures", "kernel", "rounds")}
    plain["cut_short"] = -1 if run.cut_short is None else int(run.cut_short)
    kernel = np.array(run.kernel, f"S{_LETTERS}").view(np.uint8).reshape(-1, _LETTERS)
    held = {name: np.asarray(value) for name, value in plain.items()} | {"kernel": kernel}
    return held | of_tree("mixtures", run.mixtures)


def to_run(held: dict[str, Any], like: Mixture) -> Run:
    """Undoes `of_run`, for mixtures like `like`."""
    plain = {f.name: held[f.name] for f in fields(Run) if f.name in held and f.name not in ("kernel", "cut_short")}
    cut_short = int(held["cut_short"])
    kernel = np.ascontiguousarray(held["kernel"]).view(f"S{_LETTERS}").ravel().astype(str)
    return Run(
        **plain,
        mixtures=to_tree("mixtures", held, like),
        kernel=kernel,
        cut_short=None if cut_short < 0 else Status(cut_short),
    )
