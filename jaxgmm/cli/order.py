"""The order in which components are written: what --sort asks for."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jaxgmm import FitResult, FitWarning
from jaxgmm.cli.data import Source
from jaxgmm.fit.result import complaint, warn_of
from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError

_BY = ("weight", "mean")


@dataclass(frozen=True)
class Order:
    """What components are sorted by; `feature` is a column of DATA, by name or number, where one is named."""

    by: str | None
    feature: str | None = None

    @classmethod
    def asked(cls, text: str | None, labels: str | None = None) -> Order:
        """The order that --sort `text` asks for.

        Raises:
            ValueError: there is no such order, or --labels has numbered the components.
        """
        if text is None:
            return cls(None)
        by, colon, feature = text.partition(":")
        if by not in _BY or (colon and (by != "mean" or not feature.strip())):
            hint = "" if by in _BY else arguments.did_you_mean(by, _BY)
            raise ArgumentError("--sort", "be weight, mean or mean:FEATURE", repr(text), hint)
        if labels is not None:
            wants = "be left out with --labels, whose numbers are those of the components"
            raise ArgumentError("--sort", wants)
        return cls(by, feature if colon else None)

    @contextlib.contextmanager
    def pending(self) -> Iterator[None]:
        """Within it a fit does not warn of components by numbers that they will not have."""
        with warnings.catch_warnings():
            if self.by is not None:
                warnings.simplefilter("ignore", FitWarning)
            yield

    def of(self, result: Any, source: Source) -> Any:
        """A result of rows from `source` with its components in this order; warns of them where `pending` did not."""
        if self.by is None:
            return result
        result = result.sorted(self.by, source.sort_by)
        if isinstance(result, FitResult):
            warn_of(complaint(result))
        return result
