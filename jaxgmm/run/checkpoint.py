"""Fits that survive being killed: what has been done so far, in one file, taken up by the same call.

A fit is a sequence of runs that follows from its arguments alone. The file holds how each finished run ended and where
the current one stands between two blocks; the same call then passes through the finished ones and goes on. Numbers are
kept bit for bit, so on the same machine and versions the answer is that of a fit never interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jaxgmm.inputs.lazily import jax, jnp
from jaxgmm.inputs.wording import Wording
from jaxgmm.mixture.whole_files import abandoned, write_whole
from jaxgmm.rows import RowSource

Tree = TypeVar("Tree")

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_FORMAT, _VERSION = "jaxgmm.checkpoint", "6"
# The longest of the words that records hold: files hold numbers only, so words are held as their letters.
_LETTERS = 16


class CheckpointError(ValueError):
    """Not a checkpoint of this fit: other data, other options, or a damaged file."""


def fingerprints(**arguments: Any) -> dict[str, str]:
    """A short digest of every argument: sources of rows by their own, arrays and pytrees of them by their bytes,
    anything else by its repr.
    """
    return {name: _digest(value) for name, value in arguments.items()}


def _digest(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=12)
    leaves, structure = jax.tree.flatten(value)
    # Functions are told apart by name: their addresses differ from process to process.
    digest.update(_ADDRESS.sub("", str(structure)).encode())
    for leaf in leaves:
        if isinstance(leaf, RowSource):
            digest.update(leaf.fingerprint())
        elif isinstance(leaf, np.ndarray | jax.Array):
            array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
            digest.update(f"{array.dtype} {array.shape}".encode())
            rows = np.atleast_1d(array)
            for start in range(0, len(rows), 1 << 16):
                digest.update(rows[start : start + (1 << 16)].tobytes())
        elif dataclasses.is_dataclass(leaf):
            digest.update(_digest({"": type(leaf).__name__} | vars(leaf)).encode())
        elif _ADDRESS.search(repr(leaf)) and hasattr(leaf, "__dict__") and not callable(leaf):
            digest.update(_digest({"": type(leaf).__name__} | vars(leaf)).encode())  # its repr says nothing of it
        else:
            digest.update(_ADDRESS.sub("", repr(leaf)).encode())
    return digest.hexdigest()


def _is_key(leaf: Any) -> bool:
    """Whether `leaf` is an array of typed keys."""
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def arrays_of(tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree as arrays of numbers, by their places in it."""
    return {f"{i}": _numbers(np.asarray(leaf)) for i, leaf in enumerate(jax.tree.leaves(tree))}


def tree_from(held: Mapping[str, np.ndarray], like: Tree) -> Tree:
    """Undoes `arrays_of`, for a tree whose leaves have the kinds and dtypes of those of `like`, in any shape."""
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [_as(leaf, held[f"{i}"]) for i, leaf in enumerate(leaves)])


def _numbers(leaf: np.ndarray) -> np.ndarray:
    if leaf.dtype.kind != "U":
        return leaf
    words = np.ascontiguousarray(leaf, f"<U{_LETTERS}")
    return words.view(np.uint32).reshape(*words.shape, _LETTERS)


def _as(like: Any, held: np.ndarray) -> Any:
    if isinstance(like, jax.Array):
        return jnp.asarray(held, like.dtype)
    if like.dtype.kind == "U":
        return np.ascontiguousarray(held).view(f"<U{_LETTERS}")[..., 0]
    return held.astype(like.dtype)


class Checkpoint:
    """The file at `path`, written at most every so many seconds; only read where others write it (`writes`).

    Raises:
        CheckpointError: there is a file, and it is not of a fit with these fingerprints.
        OSError: the file cannot be read, or its folder not be written to.
    """

    def __init__(
        self, path: str | os.PathLike[str], every: float, wanted: Mapping[str, str], writes: bool = True
    ) -> None:
        self.path, self.every, self.wanted, self.writes = Path(path), every, dict(wanted), writes
        if not self.path.parent.is_dir() or not os.access(self.path.parent, os.W_OK):
            raise OSError(f"checkpoint must lie in a folder that can be written to, got {self.path}")
        self.finished: list[dict[str, Any]] = []
        self.current: dict[str, Any] | None = None
        self.asked = 0
        self.written = time.perf_counter()
        if self.path.exists():
            self._read()

    # ---- what runs ask ------------------------------------------------------------------------------------------

    def stamp(self) -> int:
        """A number that tells what was found in the file from anything else; 0 where there was none."""
        if not self.finished and self.current is None:
            return 0
        digest = hashlib.blake2b(digest_size=3)
        for run in (*self.finished, self.current or {}):
            for name, leaf in run.items():
                digest.update(name.encode() + np.asarray(leaf).tobytes())
        return int.from_bytes(digest.digest(), "big") + 1

    def next_run(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """How the next run ended, if it has; else where it stands, if it had begun."""
        number, self.asked = self.asked, self.asked + 1
        if number < len(self.finished):
            return self.finished[number], None
        current, self.current = self.current, None
        return None, current

    def between_blocks(self, state: Callable[[], dict[str, Any]]) -> None:
        """Writes where the current run stands, if it is time."""
        if time.perf_counter() - self.written >= self.every:
            self.now(state)

    def now(self, state: Callable[[], dict[str, Any]]) -> None:
        """Writes where the current run stands, whatever the time."""
        self._write(state())

    def run_ended(self, state: dict[str, Any]) -> None:
        """Remembers how the current run ended; the next writing takes it along."""
        self.finished.append(state)

    def fit_ended(self) -> None:
        """Removes the file, and what was left beside it: there is nothing left to take up."""
        for path in (self.path, *abandoned(self.path)) if self.writes else ():
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    # ---- the file -----------------------------------------------------------------------------------------------

    def _write(self, current: dict[str, Any]) -> None:
        if not self.writes:
            return
        from safetensors.numpy import save as encode

        parts = {f"{i}/{name}": leaf for i, run in enumerate(self.finished) for name, leaf in run.items()}
        parts |= {f"current/{name}": leaf for name, leaf in current.items()}
        tensors = {name: np.asarray(leaf, order="C") for name, leaf in parts.items()}
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "fingerprints": json.dumps(self.wanted),
            "finished": str(len(self.finished)),
        }
        write_whole(self.path, encode(tensors, header))
        self.written = time.perf_counter()

    def _read(self) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="numpy") as file:
                header = file.metadata() or {}
                if header.get("format") != _FORMAT or header.get("version") != _VERSION:
                    raise CheckpointError(f"{self.path} is not a checkpoint of this version of jaxgmm")
                self._compare(json.loads(header["fingerprints"]))
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            runs: list[dict[str, Any]] = [{} for _ in range(int(header["finished"]))]
            current: dict[str, Any] = {}
            for name, leaf in held.items():
                place, _, inner = name.partition("/")
                (current if place == "current" else runs[int(place)])[inner] = leaf
        except CheckpointError:
            raise
        except (SafetensorError, KeyError, IndexError, ValueError) as error:
            raise CheckpointError(f"{self.path} is not a checkpoint, or is damaged: {error}") from None
        self.finished, self.current = runs, current or None

    def _compare(self, found: Mapping[str, str]) -> None:
        differing = [name for name in self.wanted if found.get(name) != self.wanted[name]]
        if differing:
            text = "{checkpoint} {path} is of a fit with other {differing}: give the same {arguments} to go on with it"
            names = Wording.joined(", ", (Wording(f"{{{name}}}") for name in differing))
            raise CheckpointError(Wording(f"{text}, or remove it to begin anew", path=str(self.path), differing=names))
