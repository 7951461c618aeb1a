"""scikit-learn's own tests of `GaussianMixture`, run from the installed package against ours.

`scripts/sklearn_tests` runs this. It fails when a test fails that is not listed here, or a listed one passes.
"""

from __future__ import annotations

import os
import sys
import warnings

import pytest

# Before scikit-learn's own configuration is read: its tests then run in both dtypes.
os.environ.setdefault("SKLEARN_RUN_FLOAT32_TESTS", "1")

import sklearn.mixture

import jaxgmm

SUITES = ("sklearn.mixture.tests.test_gaussian_mixture", "sklearn.mixture.tests.test_mixture")

#: names of tests (all their parameters) that need not pass, and why
PRIVATE = {
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": (
        "counts calls of a private function of scikit-learn's module"
    ),
}


class Outcomes:
    """Collects what became of each test."""

    def __init__(self) -> None:
        self.by_outcome: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.by_outcome[report.outcome].append(report.nodeid.split("::")[-1])


def main(arguments: list[str]) -> int:
    """Swaps the class, runs the suites, and lists what fails; the exit status."""
    sklearn.mixture.GaussianMixture = jaxgmm.GaussianMixture
    outcomes = Outcomes()
    with warnings.catch_warnings():
        pytest.main(
            ["--pyargs", *SUITES, "-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default", *arguments],
            plugins=[outcomes],
        )
    failed = outcomes.by_outcome["failed"]
    private = [name for name in failed if name.split("[")[0] in PRIVATE]
    unexpected = [name for name in failed if name not in private]
    passing = [name for name in outcomes.by_outcome["passed"] if name.split("[")[0] in PRIVATE]
    print(f"\n{len(outcomes.by_outcome['passed'])} passed, {len(outcomes.by_outcome['skipped'])} skipped")
    for name in private:
        print(f"private: {name}: {PRIVATE[name.split('[')[0]]}")
    for name in unexpected:
        print(f"FAILED: {name}")
    for name in passing:
        print(f"listed as private, but passes: {name}")
    return 1 if unexpected or passing or not outcomes.by_outcome["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
