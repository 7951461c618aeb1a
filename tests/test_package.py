"""The package keeps its promises about imports, and its files stay readable."""

from __future__ import annotations

import ast
import subprocess
import sys

from house import ROOT, House, order_of_rooms
from mutations import MUTATIONS


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


def test_annotations_are_checked_where_that_is_asked_for():
    code = (
        "import annotations; annotations.install(); import numpy as np; from jaxgmm.families import linalg\n"
        "print(linalg.log_det(np.eye(3, dtype=np.float32)))\n"
        "linalg.log_det(np.ones((2, 3), np.float32))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    assert done.stdout == "0.0\n"
    assert "TypeCheckError" in done.stderr
    assert "log_det" in done.stderr


def test_files_stay_readable():
    assert {
        str(p): n
        for p in (*ROOT.glob("jaxgmm/**/*.py"), *ROOT.glob("docs/**/*.py"))
        if (n := len(p.read_text().splitlines())) > 350
    } == {}


def test_every_folder_is_a_room_with_its_line_in_the_table():
    assert set(House.at(ROOT).rooms()) - {"."} == set(order_of_rooms())


def test_the_root_holds_two_files_and_no_folder_too_many():
    rooms = House.at(ROOT).rooms()
    assert rooms.pop(".") == ["__init__", "compilation"]
    assert {name: len(files) for name, files in rooms.items() if name != "cli" and len(files) > 15} == {}
    assert len(list((ROOT / "jaxgmm" / "cli").glob("*.py"))) <= 15


def test_imports_go_one_way():
    """From folders to those above them in docs/design.md, inside functions and for type checkers too."""
    level = {name: i for i, name in enumerate(order_of_rooms())}
    assert {(a, b) for a, b in House.at(ROOT).arrows() if level[b] > level[a]} == set()


def test_no_module_imports_itself_by_way_of_others():
    assert House.at(ROOT).circles() == set()


def test_public_names_are_defined_once():
    """One name for one thing: functions and classes of modules outside the command line."""
    places: dict[str, list[str]] = {}
    for path in sorted(ROOT.glob("jaxgmm/**/*.py")):
        if "cli" not in path.parts:
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 200
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_mutations_name_lines_and_tests_that_are_there():
    for name, mutation in MUTATIONS.items():
        assert (ROOT / "jaxgmm" / mutation.file).read_text().count(mutation.old) == 1, name
        file, _, test = mutation.tests.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text(), name
