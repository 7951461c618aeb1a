"""`--help`: a manual page for every command, true to the options that there are."""

from __future__ import annotations

import re

import pytest
from commands import jax_gmm
from typer.main import get_command

from jaxgmm.cli.app import app
from jaxgmm.run.stopping import CRITERIA

COMMANDS = get_command(app).commands


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_pages_fit_the_terminal(name, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    page = jax_gmm(*name.split(), "--help").stdout
    assert max(map(len, page.splitlines())) <= min(width, 100)
    for heading in ("Usage", "Examples", "Options", "Exit codes"):
        assert re.search(rf"^{heading}$", page, re.M), heading
    assert "\x1b" not in page


@pytest.mark.parametrize("name", COMMANDS)
def test_pages_have_every_option_and_what_it_means(name):
    page = jax_gmm(name, "--help").stdout
    for param in COMMANDS[name].params:
        assert param.help, param.name
        for option in param.opts if param.param_type_name == "option" else [param.metavar]:
            assert re.search(rf"^  (-\w, )?{option}\b", page, re.M) or re.search(rf"^  {option}, ", page, re.M), option


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_examples_are_understood(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = re.sub(r" \\\n +", " ", jax_gmm(name, "--help").stdout)
    examples = re.findall(rf"^  jaxgmm ({name} .*?)(?: >.*)?$", page.split("Examples")[1].split("Arguments")[0], re.M)
    assert examples
    for example in examples:
        complaint = jax_gmm(*example.split(), code=2).stderr
        assert re.fullmatch(r"jaxgmm: (rows|model)\.\w+: No such file or directory\n", complaint), complaint


@pytest.mark.parametrize("name", COMMANDS)
def test_pages_speak_of_options_that_the_command_has(name):
    own = {option for param in COMMANDS[name].params for option in param.opts}
    spoken = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", jax_gmm(name, "--help").stdout))
    assert spoken <= {*own, "--help"}


def test_the_page_of_a_fit_tells_of_every_rule_and_of_the_ridge_beside_a_prior():
    page = " ".join(jax_gmm("fit", "--help").stdout.split())
    for rule in CRITERIA:
        assert re.search(rf"What --tol is compared with: .*\b{rule} \(.*Default: log_likelihood", page), rule
    assert "auto adds 1e-6 of the variance of each feature's densest rows, and nothing beside --prior" in page


def test_long_examples_go_on_before_an_option(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    page = jax_gmm("predict", "--help").stdout
    assert "--responsibilities \\\n      --with-rows --out labelled.parquet\n" in page


def test_without_a_command_the_page_is_shown():
    assert jax_gmm().stdout == jax_gmm("--help").stdout
