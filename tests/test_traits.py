"""What is said of families as a whole: every family, known or new, goes where users may take it."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import chex
import jax
import matplotlib as mpl
import numpy as np
import pytest
from house import ROOT
from matplotlib.figure import Figure
from newcomers import newcomers, registered

import jaxgmm
from jaxgmm import Fixed, Mixture, Prior, em
from jaxgmm.families import (
    FAMILIES,
    DiagGaussian,
    Family,
    Free,
    LowerTriangular,
    Positive,
    SharedFeatures,
    Traits,
    UnitInterval,
    family,
    parameter,
)
from jaxgmm.families.constraints import constraints
from jaxgmm.mixture import integrity
from jaxgmm.mixture.files import ModelFileError
from jaxgmm.plotting import plot_density, plot_mixture
from jaxgmm.rows import ArrayRows

mpl.use("Agg")
KNOWN = tuple(FAMILIES)
NEW = tuple(newcomers())
every_family = pytest.mark.parametrize("name", KNOWN + NEW)
FEW = {"max_iter": 4, "n_init": 2, "tol": 0.0}
#: a value that each constraint forbids, if there is one
FORBIDDEN = {Positive: -1.0, UnitInterval: 1.5, LowerTriangular: -1.0}


@pytest.fixture(autouse=True)
def families():
    with registered() as found:
        yield found


def rows(name: str, n: int = 60, seed: int = 0) -> np.ndarray:
    """Rows (n, 2) of two groups that a mixture of this family may have made."""
    rng, support = np.random.default_rng(seed), FAMILIES[name].traits.support
    group = rng.integers(0, 2, n)[:, None]
    if support.discrete:
        return (rng.uniform(size=(n, 2)) < np.where(group, 0.8, 0.2)).astype(float)
    if support.low == 0:
        return rng.exponential(np.where(group, 1.0, 6.0), (n, 2))
    return rng.normal(size=(n, 2)) + 6 * group


def fitted(name: str, x: np.ndarray | None = None, **options) -> jaxgmm.FitResult:
    x = rows(name) if x is None else x
    return jaxgmm.fit(0, x, 2, covariance_type=name, **FEW | options)


def test_the_page_brings_a_family():
    assert "exponential" in NEW


@every_family
def test_traits_say_what_the_family_does(name):
    own, x = FAMILIES[name], rows(name)
    traits, mixture = own.traits, fitted(name).mixture
    assert isinstance(mixture.components, own)
    rules = constraints(own)
    assert set(traits.shared) <= set(rules)
    if "means" in rules:
        assert rules["means"] == traits.means
    assert traits.means.holds(np.asarray(traits.means.inside))
    assert not traits.means.holds(np.asarray(np.nan))
    own.check_rows("x", x)
    if not traits.support.everything:
        with pytest.raises(
            ValueError, match=rf"^x must hold {traits.support.words} .*{name}.*, got -1.0 at row 3, column 1"
        ):
            own.check_rows("x", np.where((np.arange(len(x)) == 3)[:, None] & [False, True], -1.0, x))
    if traits.has_width:
        assert mixture.covariances.shape == traits.covariance_shape(2, 2)
        unit = Mixture.create([0.5, 0.5], mixture.means, traits.unit_covariances(2, 2), covariance_type=name)
        np.testing.assert_array_equal(unit.covariance_matrices(), np.broadcast_to(np.eye(2), (2, 2, 2)))
    for leaf in jax.tree.leaves(traits.shared):
        assert getattr(mixture.components, leaf).shape[0] == 2


@every_family
def test_moments_of_samples_are_what_it_says_they_are(name):
    mixture = fitted(name).mixture
    for k in range(2):
        drawn = mixture.take([k]).sample(1, 50_000)[0]
        np.testing.assert_allclose(drawn.mean(0), mixture.means[k], atol=0.08)
        np.testing.assert_allclose(
            np.cov(drawn.T), mixture.covariance_matrices()[k], rtol=0.06, atol=0.03 * np.cov(drawn.T).max()
        )


@every_family
def test_priors(name):
    traits, centre = FAMILIES[name].traits, np.full(2, FAMILIES[name].traits.means.inside)
    heavy = fitted(name, prior=Prior(mean=centre, mean_strength=1e7), max_iter=30)
    np.testing.assert_allclose(heavy.mixture.means, np.tile(centre, (2, 1)), atol=2e-2)
    assert np.isfinite(fitted(name, prior="default").score)
    bad = FORBIDDEN.get(type(traits.means))
    if bad is not None:
        with pytest.raises(
            ValueError,
            match=rf"^prior.mean must lie {traits.means.words} for covariance_type='{name}'".replace("[", r"\["),
        ):
            fitted(name, prior=Prior(mean=[bad, bad]))
    for option in ({"dof": 7.0}, {"scale": 1.0}):
        if traits.has_width:
            assert np.isfinite(fitted(name, prior=Prior(**option)).score)
        else:
            with pytest.raises(
                ValueError, match=rf"^prior\.{next(iter(option))} must be None for covariance_type='{name}', got"
            ):
                fitted(name, prior=Prior(**option))


@every_family
def test_fixed_parameters(name):
    traits, held = FAMILIES[name].traits, np.full(2, 0.7)
    result = fitted(name, fixed=Fixed(means=[held, [np.nan] * 2]))
    np.testing.assert_allclose(result.mixture.means[0], held, rtol=1e-6)
    assert not np.allclose(result.mixture.means[1], held)
    bad = FORBIDDEN.get(type(traits.means))
    if bad is not None:
        with pytest.raises(
            ValueError,
            match=rf"^fixed.means must lie {traits.means.words} for covariance_type='{name}'".replace("[", r"\["),
        ):
            fitted(name, fixed=Fixed(means=[[bad, bad], [np.nan] * 2]))
    if not traits.has_width:
        with pytest.raises(ValueError, match=rf"^fixed.covariances must be None for covariance_type='{name}'"):
            fitted(name, fixed=Fixed(covariances=np.ones(2)))
        return
    given = 0.5 * traits.unit_covariances(2, 2)
    found = fitted(name, fixed=Fixed(covariances=given)).mixture.covariances
    np.testing.assert_allclose(found, given, rtol=1e-6)
    with pytest.raises(ValueError, match=r"^fixed.covariances must have shape"):
        fitted(name, fixed=Fixed(covariances=np.ones((5, 5))))


@every_family
def test_labels(name):
    x = rows(name)
    labels = np.where(np.arange(len(x)) < 20, (x[:, 0] > np.mean(x[:, 0])).astype(int), -1)
    assert np.isfinite(fitted(name, x, labels=labels).score)
    whole = (x[:, 0] > np.mean(x[:, 0])).astype(int)
    means = fitted(name, x, labels=whole, reg_covar=1e-12).mixture.means
    np.testing.assert_allclose(means, [x[whole == k].mean(0) for k in (0, 1)], rtol=1e-4, atol=1e-6)


@every_family
def test_files(name, tmp_path):
    mixture = fitted(name).mixture
    jaxgmm.save(tmp_path / "m", mixture)
    chex.assert_trees_all_equal(jaxgmm.load(tmp_path / "m"), mixture)
    for field, rule in constraints(FAMILIES[name]).items():
        for value in (np.nan, FORBIDDEN.get(type(rule))):
            if value is None:
                continue
            leaf = np.array(getattr(mixture.components, field))
            leaf[(-1,) * leaf.ndim] = value
            spoiled = dataclasses.replace(mixture, components=dataclasses.replace(mixture.components, **{field: leaf}))
            jaxgmm.save(tmp_path / "spoiled", spoiled)
            with pytest.raises(ModelFileError, match=rf"{field}.*, got {value:g}"):
                jaxgmm.load(tmp_path / "spoiled")
            with pytest.raises(ValueError, match=f"^init .*{field}"):
                integrity.sound_mixture("init", spoiled)


def test_a_family_says_what_each_field_may_be():
    @dataclasses.dataclass(frozen=True)
    class Careless(newcomers()["lookalike"]):
        shape: float = 1.0

    with pytest.raises(TypeError, match=r"Careless.shape must be declared with a constraint"):
        constraints(Careless)


@every_family
def test_pictures_in_the_plane(name):
    x, mixture = rows(name), fitted(name).mixture
    if FAMILIES[name].traits.support.discrete:
        for draw in (plot_mixture, plot_density):
            with pytest.raises(
                ValueError, match=f"^mixture must have densities to draw, got '{name}', whose rows hold only 0 and 1"
            ):
                draw(mixture, x)
        return
    ax = plot_mixture(mixture, x, ax=Figure().subplots())
    gaussian = FAMILIES[name].traits.gaussian
    assert bool(ax.patches) == gaussian
    outlines = [path for c in ax.collections[1:] for path in c.get_paths() if len(path.vertices)]
    assert bool(outlines) != gaussian
    if not gaussian:  # on an outline the component's own density is the same everywhere
        levels = [set() for _ in range(2)]
        for path in outlines:
            inside = path.vertices[(path.vertices > 0.05).all(axis=1)]
            spread = [np.ptp(mixture.take([k]).score_samples(inside)) for k in range(2)]
            assert min(spread) < 0.05
            k = int(np.argmin(spread))
            drawn = mixture.take([k]).sample(7, 20_000)[0]
            level = np.median(mixture.take([k]).score_samples(inside))
            levels[k].add(round(float(np.mean(mixture.take([k]).score_samples(drawn) >= level)), 1))
        assert levels == [{0.4, 0.9}, {0.4, 0.9}]
    assert plot_density(mixture, x, ax=Figure().subplots()).has_data()


@every_family
def test_pictures_on_the_line(name):
    if FAMILIES[name].traits.support.discrete:
        return
    x = rows(name)[:, :1]
    mixture = fitted(name, x).mixture
    ax = plot_mixture(mixture, x, ax=Figure().subplots())
    grid, height = ax.lines[0].get_data()
    np.testing.assert_allclose(height, np.exp(mixture.score_samples(grid[:, None])), rtol=2e-3, atol=1e-6)
    FAMILIES[name].check_rows("grid", grid[:, None])
    bars = [line for line in ax.lines if line.get_ydata()[0] < 0]
    inside = [np.mean((drawn >= bar.get_xdata()[0]) & (drawn <= bar.get_xdata()[1]))
              for k in range(2) for drawn in [mixture.take([k]).sample(3, 50_000)[0]] for bar in bars[2 * k : 2 * k + 2]]  # fmt: skip
    np.testing.assert_allclose(inside, [0.954, 0.683] * 2, atol=0.015)
    wide = fitted(name, np.repeat(rows(name), 2, axis=1) + 1e-3 * np.arange(4)).mixture
    if FAMILIES[name].traits.gaussian:
        assert plot_mixture(wide, features=(0, 3), ax=Figure().subplots()).patches
    else:
        with pytest.raises(
            ValueError, match=rf"^features must be all 4 of a mixture that is not Gaussian, got \[0, 3\] for '{name}'"
        ):
            plot_mixture(wide, features=(0, 3))


@every_family
def test_select(name):
    found = jaxgmm.select(0, rows(name), (1, 2), covariance_types=name, n_init=2, max_iter=4)
    alone = [jaxgmm.fit(0, rows(name), k, covariance_type=name, max_iter=0).mixture for k in (1, 2)]
    assert [cell.n_parameters for cell in found.table] == [mixture.n_parameters for mixture in alone]
    assert found.best.mixture.covariance_type == name


def test_select_compares_what_has_densities():
    x = rows("exponential")
    found = jaxgmm.select(0, x, 2, covariance_types=("diag", "exponential"), n_init=4)
    assert found.best.mixture.covariance_type == "exponential"  # which made the rows
    with pytest.raises(
        ValueError,
        match=r"covariance_types must name types with densities, or types with probabilities \('bernoulli'\)",
    ):
        jaxgmm.select(0, rows("bernoulli"), 2, covariance_types=("bernoulli", "exponential"))


@every_family
def test_fit_many(name):
    sets = np.stack([rows(name, seed=seed) for seed in range(3)])
    found = jaxgmm.fit_many(0, sets, 2, covariance_type=name, **FEW)
    alone = jaxgmm.fit(jax.random.fold_in(jax.random.key(0), 1), sets[1], 2, covariance_type=name, **FEW)
    np.testing.assert_allclose(found.restarts.log_likelihood[1], alone.log_likelihood, rtol=1e-9)


def test_rows_far_from_0_are_a_trouble_to_widths_only():
    far = (1e8 + rows("exponential")).astype(np.float32)
    assert np.isfinite(jaxgmm.fit(0, far, 1, covariance_type="exponential").score)
    with pytest.raises(ValueError, match="x must carry its spread"):
        jaxgmm.fit(0, far, 1, covariance_type="diag")


# ---- what a family can do without --------------------------------------------------------------------------------


@every_family
def test_the_fast_kernel_is_for_families_with_shared_features(name):
    able, x = issubclass(FAMILIES[name], SharedFeatures), rows(name)
    assert set(fitted(name, x, kernel="centred").kernel) == {"centred"}
    found = fitted(name, x)
    assert set(found.kernel) == ({"shared_feature"} if able else {"centred"})
    assert np.all(np.diff(found.history, axis=1) > -1e-12)
    if able:
        assert np.isfinite(fitted(name, x, kernel="shared_feature").score)
        return
    fits = (
        lambda: fitted(name, x, kernel="shared_feature"),
        lambda: jaxgmm.fit_many(0, [x, x], 2, covariance_type=name, kernel="shared_feature"),
        lambda: jaxgmm.select(0, x, 2, covariance_types=name, kernel="shared_feature"),
    )
    for fit in fits:
        with pytest.raises(
            ValueError,
            match=f"^kernel must be 'auto' or 'centred' for covariance_type='{name}', got 'shared_feature'; it has no shared features",
        ):
            fit()
    with pytest.raises(TypeError, match=f"^kernel must be 'centred' for components of '{name}'"):
        em.e_step(found.mixture, ArrayRows.from_array(x.astype(np.float32)), kernel="shared_feature")
    assert np.isfinite(fitted(name, x, search="race", n_init=16).score)


@family
class Plain(Family):
    """A diagonal Gaussian that says no more than it must."""

    means: Any = parameter(Free())
    scale: Any = parameter(Positive())

    traits = dataclasses.replace(DiagGaussian.traits, name="plain", fewer_rows=())

    from_means = classmethod(DiagGaussian.from_means.__func__)
    from_covariances = classmethod(DiagGaussian.from_covariances.__func__)
    affine, covariances, sample = DiagGaussian.affine, DiagGaussian.covariances, DiagGaussian.sample

    def _own(self):
        return DiagGaussian(self.means, self.scale)

    def log_prob(self, x):
        return self._own().log_prob(x)

    def moments(self, x, r):
        return self._own().moments(x, r)

    def expected_log_prob(self, counts, moments, other):
        return self._own().expected_log_prob(counts, moments, other._own())

    def improve(self, counts, moments, ridge):
        found = self._own().improve(counts, moments, ridge)
        return Plain(found.means, found.scale)


def test_a_family_that_says_no_more_than_it_must_is_as_right():
    FAMILIES["plain"] = Plain
    x = rows("diag")
    plain, known = (fitted(name, x, max_iter=30, reg_covar=1e-3) for name in ("plain", "diag"))
    np.testing.assert_allclose(plain.history, known.history, rtol=1e-8)
    for ask in (lambda c: c.log_width(), lambda c: c.collapsed(), lambda c: c.rows_to_span, lambda c: c.n_parameters):
        np.testing.assert_allclose(ask(plain.mixture.components), ask(known.mixture.components), rtol=1e-6)
    climbed = fitted("plain", x, driver=jaxgmm.Gradient("lbfgs"), max_iter=60, reg_covar=0)
    assert climbed.score == pytest.approx(fitted("diag", x, max_iter=300, reg_covar=0).score, abs=1e-4)
    for option, value, words in (
        ("prior", "default", "prior must be None for covariance_type='plain', which has none"),
        ("fixed", Fixed(means=[[0.0, 0.0], [np.nan] * 2]), "fixed.means must be None for covariance_type='plain'"),
    ):
        with pytest.raises(ValueError, match=f"^{words}"):
            fitted("plain", x, **{option: value})


def test_what_traits_promise_a_family_must_say():
    body = {"means": parameter(Free()), "__annotations__": {"means": Any}}
    for traits, method in (({"covariance_axes": ("k", "d")}, "from_covariances"), ({"maps": "feature"}, "affine")):
        with pytest.raises(TypeError, match=f"^Boaster must have {method}, as its traits say"):
            family(type("Boaster", (Family,), body | {"traits": Traits("boaster", **traits)}))


# ---- nobody asks for a name -------------------------------------------------------------------------------------

#: where words of families are shown, and what has words of its own that are the same
_WORDS = {"plotting/selection.py", "selection/result.py"}
_ATTRIBUTES = {"covariance_type", "scale_tril"}


def _asks_for_names(file: Path) -> list[str]:
    """Comparisons with a family's name or the name of a field, and tables by families' names, in one file."""
    fields = {field.name for family in FAMILIES.values() for field in dataclasses.fields(family)} - {"means"}
    names = {*KNOWN, *fields}
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Compare(left=left, comparators=others):
                asked = [left, *others]
            case ast.Dict(keys=keys):
                asked = [key for key in keys if key is not None]
            case ast.MatchValue(value=value):
                asked = [value]
            case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[_, name, *_]):
                asked = [name]
            case _:
                continue
        inner = [part for a in asked for part in ([*a.elts] if isinstance(a, ast.Tuple | ast.List | ast.Set) else [a])]
        for part in inner:
            word = isinstance(part, ast.Constant) and part.value in names
            asks = isinstance(part, ast.Attribute) and (
                part.attr in _ATTRIBUTES or ast.unparse(part).endswith("traits.name")
            )
            if word or (asks and not isinstance(node, ast.Call)):
                found.append(f"{file.name}:{node.lineno}: {ast.unparse(node)[:90]}")
    return found


def test_no_name_of_a_family_or_of_its_fields_is_asked_for_outside_of_families():
    package = ROOT / "jaxgmm"
    files = [
        f for f in package.rglob("*.py") if f.parent.name != "families" and str(f.relative_to(package)) not in _WORDS
    ]
    assert len(files) > 100
    assert [line for file in files for line in _asks_for_names(file)] == []


def test_the_search_for_names_finds_them(tmp_path):
    lines = ['x.covariance_type != "bernoulli"', 'name in ("full", "tied")', '{"diag": 1}[kind]', '"scale" in leaves', "f.traits.name == g.traits.name", 'getattr(c, "scale_tril")']  # fmt: skip
    for line in lines:
        (tmp_path / "m.py").write_text(line)
        assert _asks_for_names(tmp_path / "m.py"), line
    (tmp_path / "m.py").write_text('print(f.traits.name, "full"); kind("diag"); maps == "linear"')
    assert not _asks_for_names(tmp_path / "m.py")


def test_families_with_the_same_fields_do_not_run_each_others_programs():
    """JAX may hold the trees of different dataclasses for equal; `families.family` sees to it that these are not."""
    alike = [f for f in FAMILIES.values() if [*constraints(f)] == ["means"]]
    trees = [jax.tree.structure(f(np.full((2, 2), 0.5))) for f in alike]
    assert len(trees) >= 2
    assert trees[0] != trees[1]
    program = jax.jit(lambda components: components.covariances)
    for each in alike * 2:
        np.testing.assert_allclose(program(each(np.full((2, 2), 0.25))), each(np.full((2, 2), 0.25)).covariances)


def test_every_kind_of_constraint_has_its_words():
    value = np.array([[1.0, 0.0], [0.5, 2.0]])
    for rule, bad in ((Free(), np.nan), (Positive(), 0.0), (UnitInterval(), 1.01), (LowerTriangular(), -2.0)):
        shown = value if isinstance(rule, LowerTriangular | Free) else np.full((2, 2), 0.3)
        assert np.all(rule.holds(shown))
        np.testing.assert_allclose(rule.from_free(rule.to_free(shown)), shown, rtol=1e-12)
        spoiled = shown.copy()
        spoiled[1, 1] = bad
        assert np.argwhere(~rule.holds(spoiled)).tolist() == [[1, 1]]
    assert LowerTriangular().n_free((5, 3, 3)) == 30
    assert issubclass(FAMILIES["lookalike"], Family)
