"""Data that every test may use: real rows from installed packages, and the Old Faithful eruptions."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path

# Compiling is most of the work here: what one worker or an earlier run has compiled need not be compiled again.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# And what is compiled runs once or twice, on few rows: three quarters of the compiler's time are for nothing here.
# Later versions of jaxlib end the process for a flag they no longer have.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + (" --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""),
)

if os.environ.get("JAXGMM_CHECK_ANNOTATIONS"):
    import annotations

    annotations.install()

import jax
import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine

from jaxgmm.fit import engine

DATA = Path(__file__).parent / "data"


def load_rows(name: str) -> np.ndarray:
    if name == "faithful":
        return np.loadtxt(DATA / "faithful.csv", delimiter=",", skiprows=1)
    return {"iris": load_iris, "wine": load_wine}[name]().data


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Hundreds of shapes are compiled here; kept, they would fill the memory of a small machine."""
    yield
    jax.clear_caches()


#: what users meet, where small fits run as theirs do
_AS_USERS = ("test_engine", "test_sklearn", "test_cli", "test_pages", "test_faults", "test_fuzz", "test_labels")


@pytest.fixture(autouse=True, scope="module")
def _programs(request):
    """Elsewhere it is programs that are tested, however few the rows; `test_engine.py` holds NumPy to the same."""
    if request.module.__name__.startswith(_AS_USERS):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_COMPILING", 0.0)  # no fit is worth less than that
        yield


@pytest.fixture(scope="session")
def faithful() -> np.ndarray:
    return load_rows("faithful")


@pytest.fixture(scope="session")
def iris() -> np.ndarray:
    return load_rows("iris")


@pytest.fixture(scope="session")
def reference_values() -> dict:
    return json.loads((DATA / "reference_loglik.json").read_text())
