"""What several commands do: take up a model, and ask it about rows as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxgmm
from jaxgmm.cli.data import DataError, Source, TableBlock
from jaxgmm.cli.errors import named
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.rows.blocks import padded

# Numbers in a block of rows, or of responsibilities.
_BLOCK_ELEMENTS = 1 << 21
_LARGEST_BLOCK = 1 << 16


def load_one(path: Path) -> jaxgmm.Mixture:
    """A single mixture."""
    mixture = jaxgmm.load(path)
    if mixture.batch_shape:
        raise ValueError(f"{path}: holds a batch of mixtures, {mixture.batch_shape}; save one of them")
    return mixture


def block_size(mixture: jaxgmm.Mixture) -> int:
    """How many rows to read at once: a power of two, as blocks of answers have it."""
    size, width = 256, max(mixture.n_features, mixture.n_components)
    while size < _LARGEST_BLOCK and 2 * size * width <= _BLOCK_ELEMENTS:
        size *= 2
    return size


def asked(mixture: jaxgmm.Mixture, source: Source) -> Iterator[tuple[TableBlock, Callable[[str], Any]]]:
    """Blocks of rows, each with a function that gives what a method of `mixture` says of them, by its name."""
    size, start = block_size(mixture), 0
    for block in source.blocks(size):
        try:
            mixture.components.check_rows("x", block.x, start)
        except ArgumentError as error:
            raise DataError(f"{source.path}: {error.complaint(named)}") from None
        # The last block is as long as the others, so that it needs no program of its own.
        x = padded(block.x, size) if start else block.x
        start += len(block)

        def ask(method: str, x: Any = x, n: int = len(block)) -> Any:
            return getattr(mixture, method)(x)[:n]

        yield block, ask
