"""The README's code runs as it stands, and the package keeps its promises about imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jaxgmm

ROOT = Path(__file__).parent.parent


def test_the_readmes_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) >= 2
    for block in blocks:
        exec(block, names)
    assert "64 restarts" in capsys.readouterr().out
    assert jaxgmm.load("iris.safetensors").n_components == 3
    assert len(names["labels"]) == 150
    assert 0 < names["outliers"].sum() < 30


def test_the_readme_names_files_that_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


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
    assert {str(p): n for p in ROOT.glob("jaxgmm/**/*.py") if (n := len(p.read_text().splitlines())) > 250} == {}
