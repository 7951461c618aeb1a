"""`jaxgmm info`: what a model file holds."""

from __future__ import annotations

from jaxgmm.cli import options, output, summary
from jaxgmm.cli.commands.common import load_one


def info_command(model: options.Model, as_json: options.AsJson = False) -> None:
    """Shows what MODEL holds: weights, means and standard deviations; with --json all covariances."""
    mixture = load_one(model)
    if as_json:
        output.emit_json(summary.of_model(mixture))
    else:
        summary.print_model(mixture, str(model))
