"""`jaxgmm anomalies`: rows that a mixture finds unlikely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import jaxgmm
from jaxgmm.cli import options, output, tables
from jaxgmm.cli.commands.common import asked, block_size, load_one
from jaxgmm.cli.data import Source, Spool
from jaxgmm.cli.tables import Part
from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.mixture.thresholds import QUANTILES, density_threshold

# As `GaussianMixtureOutlierDetector` has them.
_CONTAMINATION, _DRAWN = 0.05, 10_000


def anomalies_command(
    model: options.Model,
    path: options.Data,
    threshold: options.Threshold = None,
    contamination: options.Contamination = None,
    quantile: options.Quantile = None,
    seed: options.QuantileSeed = 0,
    only: options.Only = False,
    with_rows: options.WithRows = False,
    columns: options.Columns = None,
    array: options.ArrayName = None,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Finds the rows of DATA where the density of MODEL is low.

    A row is an anomaly if log p(x), in nats, is below a threshold: that of --threshold, or by default the one that
    leaves a share of 0.05 of the rows below it.

    The table has a row for each row of DATA, in its order: columns row (counted from 0), log_density and anomaly (0 or
    1). A .npz holds an array for each, and a .npy `anomaly` alone, or `row` with --only. With --out a line on stdout
    tells how many there are; with --json an object does, and nothing is written but to --out.
    """
    if threshold is not None and (contamination is not None or quantile is not None):
        raise ValueError("--threshold leaves nothing to --contamination and --quantile: leave it out, or both of them")
    if quantile is not None:
        arguments.choice("--quantile", quantile, QUANTILES)
    if contamination is not None and not 0 < contamination <= 0.5:
        raise ArgumentError("--contamination", "be above 0 and at most 0.5", f"{contamination:g}")
    if threshold is not None and np.isnan(threshold):
        raise ArgumentError("--threshold", "be a number", "nan")
    output.check_writable(out, tables.SUFFIXES, inputs=[model, path])
    mixture = load_one(model)
    source = Source(path, array, columns, n_features=mixture.n_features)
    share = _CONTAMINATION if contamination is None else contamination
    densities = None
    if threshold is None and quantile == "mixture":
        drawn = mixture.sample(seed, _DRAWN)[0]
        threshold = density_threshold(mixture.score_samples(drawn), share)
    elif threshold is None:
        densities = _densities(mixture, source)
        threshold = density_threshold(densities, share)
    found = _Found(threshold, only)
    if as_json and out is None:
        for _, log_density in _scored(mixture, source, densities, with_rows=False):
            found.rows(log_density)
    else:
        _write(out, found, _scored(mixture, source, densities, with_rows), source if with_rows else None)
    facts = {"threshold": threshold, "n_rows": found.n, "n_anomalies": found.n_anomalies, "out": out}
    if as_json:
        output.emit_json({**facts, "share": found.n_anomalies / found.n})
    elif out is not None:
        print(f"{found.n_anomalies} of {found.n} rows are anomalies: log p(x) < {threshold:.8g}")
        print(f"written  {out}")


class _Found:
    """Which rows are anomalies, as blocks of them come, and how many so far."""

    def __init__(self, threshold: float, only: bool) -> None:
        self.threshold, self.only = threshold, only
        self.n = self.n_anomalies = 0

    def rows(self, log_density: Any) -> tuple[Any, list[Any]]:
        """Which rows of the next block to write, and their columns."""
        anomaly = log_density < self.threshold
        row = np.arange(self.n, self.n + len(anomaly))
        self.n += len(anomaly)
        self.n_anomalies += int(anomaly.sum())
        if self.only:
            return anomaly, [row[anomaly], log_density[anomaly]]
        return slice(None), [row, log_density, anomaly]


def _densities(mixture: jaxgmm.Mixture, source: Source) -> Any:
    """log p(x) of every row, (n,), float64."""
    spool = Spool(np.float64)
    for _, ask in asked(mixture, source):
        spool.append(ask("score_samples"))
    return spool.array()


def _scored(
    mixture: jaxgmm.Mixture, source: Source, densities: Any, with_rows: bool
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """Blocks of rows (None where nobody wants them) and of their log-densities, which may be at hand."""
    if densities is None:
        yield from ((block.x, ask("score_samples")) for block, ask in asked(mixture, source))
        return
    size = block_size(mixture)
    blocks = source.blocks(size) if with_rows else None
    for start in range(0, len(densities), size):
        yield None if blocks is None else next(blocks).x, np.asarray(densities[start : start + size])


def _write(out: Path | None, found: _Found, blocks: Iterator[tuple[Any, Any]], rows_of: Source | None) -> None:
    parts = [Part("row", ["row"], np.int64), Part("log_density", ["log_density"], np.float64)]
    if not found.only:
        parts.append(Part("anomaly", ["anomaly"], np.bool_))
    if rows_of is not None:
        parts.append(Part("x", rows_of.feature_names))
    with tables.writing(out, parts, alone="row" if found.only else "anomaly") as write:
        for x, log_density in blocks:
            which, columns = found.rows(log_density)
            write(*columns, *([] if rows_of is None else [x[which]]))
