"""The package keeps its promises about imports, and its files stay readable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mutations import MUTATIONS

ROOT = Path(__file__).parent.parent


def test_import_loads_only_what_a_fit_needs():
    code = "import sys, jaxgmm; print([m for m in ('sklearn', 'optax', 'matplotlib', 'typer', 'chex', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_and_fitting_leave_global_configuration_alone():
    code = (
        "import jax; before = dict(jax.config.values); import jaxgmm, numpy as np; "
        "jaxgmm.fit(0, np.random.default_rng(0).normal(size=(30, 2)), 2, max_iter=2); "
        "assert dict(jax.config.values) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_stay_readable():
    assert {
        str(p): n
        for p in (*ROOT.glob("jaxgmm/**/*.py"), *ROOT.glob("docs/**/*.py"))
        if (n := len(p.read_text().splitlines())) > 250
    } == {}


def test_mutations_name_lines_and_tests_that_are_there():
    for name, mutation in MUTATIONS.items():
        assert (ROOT / "jaxgmm" / mutation.file).read_text().count(mutation.old) == 1, name
        file, _, test = mutation.tests.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text(), name
