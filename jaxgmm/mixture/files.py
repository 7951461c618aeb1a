"""Mixtures on disk: safetensors with a versioned header. Nothing in a model file is ever executed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from jaxgmm.families import FAMILIES, Family
from jaxgmm.inputs.errors import ArgumentTypeError
from jaxgmm.mixture import integrity
from jaxgmm.mixture.mixture import Mixture
from jaxgmm.mixture.whole_files import write_whole

FORMAT = "jaxgmm.mixture"
VERSION = 1
#: our headers name a handful of tensors; a longer one is refused before it is read
_LONGEST_HEADER = 1 << 16
_DTYPES = {"F32": np.dtype(np.float32), "F64": np.dtype(np.float64)}


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
        hint = "pass result.mixture" if hasattr(mixture, "mixture") else ""
        raise ArgumentTypeError("mixture", "be a Mixture", type(mixture).__name__, hint)
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
    _check_length(path)
    try:
        with safe_open(path, framework="numpy") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            family = _family(path, file.metadata() or {}, set(parts))
            # Nothing is read before its dtype and shape are known to be right.
            dtypes = {part.get_dtype() for part in parts.values()}
            if len(dtypes) != 1 or not dtypes <= set(_DTYPES):
                raise ModelFileError(f"{path} must hold float32 or float64 throughout, got {', '.join(sorted(dtypes))}")
            integrity.mixture_shapes(str(path), family, {name: tuple(p.get_shape()) for name, p in parts.items()})
            leaves = {name: file.get_tensor(name) for name in parts}
        mixture = Mixture(leaves.pop("weights"), family(**leaves))
        integrity.sound_mixture(str(path), mixture)
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a jaxgmm model file, or is damaged: {error}") from None
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(str(error)) from None
    return mixture


def _check_length(path: Path) -> None:
    """Refuses a file whose first eight bytes, the length of its header, cannot be those of a model file."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a model file")
    if path.exists() and not path.is_file():
        raise ModelFileError(f"{path} is not a plain file")  # reading a pipe might never end
    with open(path, "rb") as file:
        start = file.read(8)
        size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ModelFileError(
            f"{path} is not a jaxgmm model file, or is damaged: its {size} bytes begin with no header of ours"
        )


def _tensor_names(family: type[Family]) -> list[str]:
    return [field.name for field in dataclasses.fields(family)]  # type: ignore[arg-type]


def _family(path: Path, header: dict[str, str], names: set[str]) -> type[Family]:
    """The family the header names, once the header is as it must be."""
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
