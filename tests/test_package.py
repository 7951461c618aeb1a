"""The package keeps its promises about imports, and its files stay readable."""

from __future__ import annotations

import ast
import re
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
        if (n := len(p.read_text().splitlines())) > 350
    } == {}


def test_imports_go_one_way():
    """From the rooms in docs/design.md to those above them, or within one: a room is a module, or a folder of them."""
    table = (ROOT / "docs" / "design.md").read_text().partition("## Rooms")[2]
    rows = re.findall(r"^\| (`.*?) \|", table, re.M)
    level = {
        name.split(".")[0].strip("/"): i for i, row in enumerate(rows) for name in re.findall(r"`(\w+\.py|\w+/)`", row)
    }
    upward = set()
    for file in ROOT.glob("jaxgmm/**/*.py"):
        room = file.relative_to(ROOT / "jaxgmm").parts[0].removesuffix(".py")
        if room.startswith("__"):
            continue
        for line in ast.parse(file.read_text()).body:
            match line:
                case ast.ImportFrom(module="jaxgmm", names=names):
                    wanted = [alias.name for alias in names if alias.name in level]
                case ast.ImportFrom(module=str(module)) if module.startswith("jaxgmm."):
                    wanted = [module.split(".")[1]]
                case _:
                    wanted = []
            upward |= {(room, other) for other in wanted if level[other] > level[room]}
    assert upward == set()


def test_mutations_name_lines_and_tests_that_are_there():
    for name, mutation in MUTATIONS.items():
        assert (ROOT / "jaxgmm" / mutation.file).read_text().count(mutation.old) == 1, name
        file, _, test = mutation.tests.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text(), name
