"""`jaxgmm score`: how well a mixture explains rows."""

from __future__ import annotations

from typing import Any

import numpy as np

import jaxgmm
from jaxgmm.cli import data, options, output, tables
from jaxgmm.cli.commands.common import asked, load_one
from jaxgmm.cli.data import DataError, Source
from jaxgmm.cli.tables import Part


def score_command(
    model: options.Model,
    path: options.Data,
    each: options.EachRow = False,
    columns: options.Columns = None,
    weights: options.Weights = None,
    array: options.ArrayName = None,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Tells how well MODEL explains DATA: log-likelihood in nats (higher is better), BIC and AIC (lower is better).

    With --rows the log-density of every row instead, in nats, as a table with the column log_density.
    """
    if not each and out is not None:
        raise ValueError("--out is for --rows: without it there is no table to write")
    if each and weights is not None:
        raise ValueError("--weights has no part in --rows: a row's density is its own")
    if each and as_json and out is not None:
        raise ValueError("--json prints what --out would write: leave one of them out")
    output.check_writable(out, tables.SUFFIXES, inputs=[model, *data.inputs(path, weights)])
    mixture = load_one(model)
    source = Source(path, array, columns, weights, n_features=mixture.n_features)
    if not each:
        _print(_facts(mixture, source), as_json)
    elif as_json:
        densities = [ask("score_samples") for _, ask in asked(mixture, source)]
        output.emit_json({"log_density": np.concatenate(densities)})
    else:
        part = Part("log_density", ["log_density"], np.float64)
        with tables.writing(out, [part], alone=part.name) as write:
            for _, ask in asked(mixture, source):
                write(ask("score_samples"))


def _facts(mixture: jaxgmm.Mixture, source: Source) -> dict[str, Any]:
    log_likelihood = total_weight = 0.0
    n = 0
    for block, ask in asked(mixture, source):
        n += len(block)
        densities = ask("score_samples").astype(np.float64)
        if block.weights is None:
            log_likelihood += densities.sum()
            total_weight += len(block)
        else:
            log_likelihood += np.where(block.weights > 0, block.weights * densities, 0.0).sum()
            total_weight += block.weights.sum()
    if total_weight == 0:
        raise DataError(f"{source.path}: must have at least one row of positive weight, got only zeros")
    return {
        "score": log_likelihood / total_weight, "log_likelihood": log_likelihood,
        **mixture.criteria(log_likelihood, total_weight), "n_rows": n, "total_weight": total_weight,
        "n_parameters": mixture.n_parameters,
    }  # fmt: skip


def _print(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.emit_json(facts)
        return
    n, weight = facts["n_rows"], facts["total_weight"]
    weighted = "" if weight == n else f" of total weight {weight:.8g}"
    print(f"mean  {facts['score']:.8g} nats per row\nsum   {facts['log_likelihood']:.10g} nats over {n} rows{weighted}")
    print(f"BIC   {facts['bic']:.10g}\nAIC   {facts['aic']:.10g}")
