"""Mixtures on disk: safetensors with a versioned header. Nothing in a model file is ever executed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgmm.families import FAMILIES, Family
from jaxgmm.mixture import Mixture

FORMAT = "jaxgmm.mixture"
VERSION = 1


class ModelFileError(ValueError):
    """Not a model file of ours, or a damaged one."""


def save(path: str | os.PathLike[str], mixture: Mixture) -> None:
    """Writes `mixture` to `path`; a file already there is replaced whole or not at all.

    Raises:
        TypeError: `mixture` is not a `Mixture`.
        OSError: the path cannot be written.
    """
    from safetensors.numpy import save as encode

    if not isinstance(mixture, Mixture):
        hint = "; pass result.mixture" if hasattr(mixture, "mixture") else ""
        raise TypeError(f"mixture must be a Mixture, got {type(mixture).__name__}{hint}")
    components = {name: getattr(mixture.components, name) for name in _tensor_names(type(mixture.components))}
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in {"weights": mixture.weights, **components}.items()}
    header = {"format": FORMAT, "version": str(VERSION), "covariance_type": mixture.covariance_type}
    write_whole(Path(path), encode(tensors, header))


def load(path: str | os.PathLike[str]) -> Mixture:
    """The mixture in the file at `path`.

    Raises:
        ModelFileError: the file is not one of ours, is damaged, from a newer version, or holds impossible parameters.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a model file")
    with open(path, "rb"):  # its own OSError, before the parser's
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            family = _family(path, header, set(file.keys()))
            leaves = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a jaxgmm model file, or is damaged: {error}") from None
    return _checked(path, family, leaves)


def write_whole(path: Path, content: bytes) -> None:
    """`content` beside `path` first, then renamed over it: a crash leaves the old file or the new one."""
    if path.exists() and not path.is_file():  # a device or a pipe is written to, never replaced
        path.write_bytes(content)
        return
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp is private by design; a model is as readable as any other file its owner writes
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(aside, 0o666 & ~mask)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _tensor_names(family: type[Family]) -> list[str]:
    return [field.name for field in dataclasses.fields(family)]  # type: ignore[arg-type]


def _family(path: Path, header: dict[str, str], names: set[str]) -> type[Family]:
    """The family the header names, once everything in the header is as it must be."""
    if header.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a jaxgmm model file: its header lacks format = {FORMAT!r}")
    if header.get("version") != str(VERSION):
        raise ModelFileError(
            f"{path} has version {header.get('version')!r}, this jaxgmm reads version {VERSION}: upgrade jaxgmm"
        )
    kind = header.get("covariance_type")
    if kind not in FAMILIES:
        raise ModelFileError(f"{path} has unknown covariance_type {kind!r}")
    wanted = {"weights", *_tensor_names(FAMILIES[kind])}
    if names != wanted:
        raise ModelFileError(f"{path} must hold {sorted(wanted)} for covariance_type {kind!r}, got {sorted(names)}")
    return FAMILIES[kind]


def _checked(path: Path, family: type[Family], leaves: dict[str, Any]) -> Mixture:
    """The mixture, if shapes agree and parameters are possible."""
    dtypes = {leaf.dtype for leaf in leaves.values()}
    if len(dtypes) != 1 or dtypes.pop() not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ModelFileError(f"{path} must hold float32 or float64 throughout")
    weights = leaves.pop("weights")
    shape = leaves["means"].shape
    if len(shape) < 2 or 0 in shape or weights.shape != shape[:-1]:
        raise ModelFileError(f"{path} has means of shape {shape} and weights of shape {weights.shape}")
    *batch, k, d = shape
    row = jax.ShapeDtypeStruct((d,), np.float32)  # only shapes are asked for
    like = jax.eval_shape(family.from_means, jax.ShapeDtypeStruct((k, d), np.float32), row, row)
    for name, leaf in leaves.items():
        wanted = (*batch, *getattr(like, name).shape)
        if leaf.shape != wanted:
            raise ModelFileError(f"{path} has {name} of shape {leaf.shape}, where {wanted} is wanted")
    mixture = Mixture(weights, family(**leaves))
    if not all(np.isfinite(leaf).all() for leaf in (weights, *leaves.values())):
        raise ModelFileError(f"{path} holds NaN or infinite parameters")
    if (weights < 0).any() or not np.allclose(weights.sum(-1), 1, atol=1e-3):
        raise ModelFileError(f"{path} holds weights that are not at least 0 with sum 1")
    # A density at the means is finite just when every factor is positive.
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(batch) :]), mixture)
    for one in (flat[i] for i in range(len(flat.weights))):
        if not np.isfinite(one.score_samples(one.means)).all():
            raise ModelFileError(f"{path} holds covariances that are not positive definite")
    return mixture
