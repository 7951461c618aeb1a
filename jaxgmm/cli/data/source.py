"""DATA as a command was asked to read it: features, weights and labels, wherever they lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jaxgmm.cli.data import columns as names
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.rows.source import in_full_blocks
from jaxgmm.tables.base import ChosenColumns, DataError, RowTable, TableBlock
from jaxgmm.tables.files import is_file, open_table
from jaxgmm.tables.spool import Spool

_BLOCK_ELEMENTS = 1 << 20


class Source:
    """Rows of a file. Nothing but its beginning is read before it is asked for.

    Args:
        path: `.npy`, `.npz`, `.parquet`, or text: `.csv`, `.tsv`, `.txt`. Text is read as float64.
        array: which array of a `.npz`; may be left out where there is only one.
        columns: which columns are features, such as `height,3,5:7`; by default all that are nothing else.
        weights: the column that is the weight, by name or number; or a file of one column.
        labels: the same for labels.
        n_features: how many features there must be, if that is known.
        sort_by: the column of a feature, by name or number.

    Attributes:
        n_features: how many there are.
        sort_by: which of them that is, from 0; the first by default.
        feature_names: what they are called; x0, x1, … without a header.

    Raises:
        DataError: not rows of finite numbers: names the file and where; for text the line and the field, both counted
            from 1.
        ValueError: options that contradict each other.
        OSError: a file cannot be read.
    """

    def __init__(
        self, path: Path, array: str | None = None, columns: str | None = None, weights: str | None = None,
        labels: str | None = None, n_features: int | None = None, sort_by: str | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        asked = {role: at for role, at in (("weights", weights), ("labels", labels)) if at is not None}
        for role, at in asked.items():
            if not at.strip():
                raise ArgumentError(f"--{role}", "name a column of DATA or a file", repr(at))
        inside = {role: at for role, at in asked.items() if not is_file(at)}
        table = open_table(path, array, names.asked(columns, *inside.values(), *([] if sort_by is None else [sort_by])))
        taken = {role: names.column(table, at) for role, at in inside.items()}
        features = _features(table, columns, taken)
        self.n_features = len(features)
        if n_features is not None and len(features) != n_features:
            raise DataError(
                f"{path}: must have {n_features} columns, as the mixture has features; got {len(features)}; "
                "--columns chooses some"
            )
        self.sort_by = 0 if sort_by is None else _place(table, features, sort_by)
        self.feature_names = [f"x{j}" if table.names is None else table.names[i] for j, i in enumerate(features)]
        self._parts = [(table, ChosenColumns(features, taken.get("weights"), taken.get("labels")))]
        for role, at in asked.items():
            if role not in inside:
                other = open_table(Path(at), beside=True)
                if other.width != 1:
                    raise DataError(f"{at}: must hold one column, the {role}; got {other.width}")
                self._parts.append((other, ChosenColumns((), *((0, None) if role == "weights" else (None, 0)))))

    def blocks(self, size: int) -> Iterator[TableBlock]:
        """All rows, in blocks of `size` but for the last."""
        streams = [in_full_blocks(table.blocks(chosen, size), size) for table, chosen in self._parts]
        lengths = [0] * len(streams)
        for parts in itertools.zip_longest(*streams):
            lengths = [n + (0 if part is None else len(part)) for n, part in zip(lengths, parts, strict=True)]
            if len(set(lengths)) > 1:
                self._refuse(lengths, streams)
            whole, *others = parts
            for other in others:
                given = {role: values for role in ("weights", "labels") if (values := getattr(other, role)) is not None}
                whole = replace(whole, **given)
            yield whole

    def _refuse(self, lengths: list[int], streams: list[Iterator[TableBlock]]) -> None:
        """Raises DataError for files of different lengths."""
        for i, stream in enumerate(streams):
            lengths[i] += sum(len(block) for block in stream)
        i = next(i for i, n in enumerate(lengths) if n != lengths[0])
        raise DataError(f"{self._parts[i][0].path}: holds {lengths[i]} rows, where {self.path} holds {lengths[0]}")

    def read(self) -> TableBlock:
        """All rows: a memory map of a `.npy`; else in memory or, if they are many, in a temporary file."""
        if len(self._parts) == 1 and (whole := self._parts[0][0].whole(self._parts[0][1])) is not None:
            return whole
        spools: dict[str, Spool] = {}
        for block in self.blocks(max(256, _BLOCK_ELEMENTS // self.n_features)):
            for name, part in vars(block).items():
                if part is not None:
                    spools.setdefault(name, Spool()).append(part)
        return TableBlock(**{name: spool.array() for name, spool in spools.items()})


def _features(table: RowTable, columns: str | None, taken: dict[str, int]) -> list[int]:
    """The columns that are features, none of them in `taken`."""
    chosen = names.columns(table, columns) if columns is not None else None
    for role, i in taken.items():
        others = [other for other, at in taken.items() if at == i and other != role]
        if others or (chosen is not None and i in chosen):
            other = others[0] if others else "columns"
            hint = f"both name column {i}"
            raise ArgumentError(f"--{other} and --{role}", "name different columns", None, hint)
    if chosen is not None:
        return chosen
    features = [i for i in range(table.width) if i not in taken.values()]
    if not features:
        raise DataError(f"{table.path}: has no column that is left as a feature")
    return features


def _place(table: RowTable, features: list[int], text: str) -> int:
    """The place among the features of one that is given by name or number of its column."""
    column = names.column(table, text)
    if column not in features:
        raise ArgumentError("--sort", "name a feature", None, f"column {text.strip()!r} is none")
    return features.index(column)
