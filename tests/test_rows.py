"""Places for rows, and where rows come from: what holds for all of them, and what they may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
import tracemalloc
import warnings
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import NAMES, batch, controls, data, mixture, rows, scope
from house import ROOT
from places import Cards, Elsewhere, TwoArrays, captured

import jaxgmm
from jaxgmm.drivers.objective import log_likelihood
from jaxgmm.em import KERNELS, e_step
from jaxgmm.families import FAMILIES
from jaxgmm.problem import pose as posing
from jaxgmm.problem.pose import pose
from jaxgmm.rows import ArrayRows, ArraySource, RowSource
from jaxgmm.rows.folds import FoldedRows, without
from jaxgmm.rows.frames import Frame
from jaxgmm.rows.labels import Known
from jaxgmm.rows.places import placed
from jaxgmm.rows.source import Chosen
from jaxgmm.run import loop
from jaxgmm.starts.given import make_starts
from jaxgmm.starts.methods import METHODS, from_assignments

FLOAT64 = np.dtype(np.float64)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def clumps(rng, n=600, d=2):
    return rng.normal(size=(n, d)) + 6 * rng.integers(0, 3, size=(n, 1))


def halves(x, w, at=100):
    return TwoArrays(rows(x[:at], w[:at]), rows(x[at:], w[at:]))


# ---- what a pass hands on ---------------------------------------------------------------------------------------


def test_what_is_captured_is_seen():
    """Or the tests below could not fail."""

    def inside(point):
        assert len(captured(lambda x: x - point, jnp.ones(3))) == 1
        assert captured(lambda x: x - jnp.arange(3.0), jnp.ones(3)) == []
        return point

    jax.jit(inside)(jnp.ones(3))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", NAMES)
def test_a_pass_has_all_it_needs_from_its_operand(name, kernel, rng):
    x, mixtures = data(name, rng), batch(name, rng, 2)
    with scope():
        plain = rows(x)
        known = Known(jnp.asarray(rng.integers(0, 2, plain.n_slots)), jnp.asarray([[True, True, False], [True] * 3]))
        linear = FAMILIES[name].traits.maps == "linear"
        laid = replace(plain, frame=Frame.of_all(plain.x, jnp.eye(4) if linear else None), known=known)
        place = Elsewhere.of(laid)
        folded = FoldedRows(place, jnp.arange(laid.n_slots) % 3, jnp.ones(4), jnp.ones(4, jnp.int32))

        def passes(mixtures, place):
            estep = lambda m: e_step(m, place, kernel=kernel, chunk=64)  # noqa: E731
            slope = jax.vmap(jax.grad(lambda m: log_likelihood(estep)(m)[0]))(mixtures)
            return estep(mixtures), slope, loop.evaluate(mixtures, place, controls(4), kernel)

        chex.assert_trees_all_equal(jax.jit(passes)(mixtures, place), jax.jit(passes)(mixtures, laid))
        part = lambda m, fold: e_step(m, without(folded, fold), kernel=kernel)  # noqa: E731
        jax.eval_shape(jax.vmap(part), mixtures, jnp.arange(2))


@pytest.mark.parametrize("method", METHODS)
def test_starts_have_all_they_need_from_their_operand(method, rng):
    with scope():
        problem = pose(ArraySource(clumps(rng)), FAMILIES["full"], 3, "auto", None, FLOAT64)
        there = replace(problem, rows=Elsewhere.of(problem.rows))
        key = np.array([0, 3], np.uint32)
        chex.assert_trees_all_equal(make_starts(key, there, method, 2), make_starts(key, problem, method, 2))
        given = rng.integers(0, 3, size=(2, 600))
        starts = [from_assignments(given, posed) for posed in (there, problem)]
        chex.assert_trees_all_equal(*starts)


def test_rows_on_two_devices(tmp_path):
    """A pass is handed to where the rows are as it is: there they are summed up, and the sums added."""
    script = tmp_path / "two.py"
    script.write_text(SHARDED)
    code = f"import os; os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=2'; exec(open({str(script)!r}).read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "centred", "shared_feature"]


SHARDED = """
from dataclasses import dataclass, replace
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec as P
from jaxgmm import Mixture
from jaxgmm.em import e_step
from jaxgmm.rows import ArrayRows, Compensated, Rows

mesh = jax.make_mesh((2,), ("n",), axis_types=(jax.sharding.AxisType.Auto,))

@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sharded(Rows):
    x: jax.Array
    weights: jax.Array
    total_weight: jax.Array
    n_rows: jax.Array

    n_features = property(lambda self: self.x.shape[0])
    n_slots = property(lambda self: self.x.shape[1] // 2)

    def total(self, function, operand, chunk):
        def here(operand, x, weights):
            first = jax.lax.axis_index("n") * x.shape[1]
            def numbered(operand, some):
                return function(operand, replace(some, index=some.index + first))
            own = ArrayRows(x, weights, self.total_weight, self.n_rows).total(numbered, operand, chunk)
            return jax.lax.psum((own.value, own.error), "n")
        specs = P(), P(None, "n"), P("n")
        where = jax.shard_map(here, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False)
        return Compensated(*where(operand, self.x, self.weights))

rng = np.random.default_rng(0)
x = rng.normal(size=(640, 3)).astype(np.float32)
plain = ArrayRows.from_array(jnp.asarray(x))
sharded = Sharded(plain.x, plain.weights, plain.total_weight, plain.n_rows)
m = Mixture.create(np.full((2, 3), 1 / 3), rng.normal(size=(2, 3, 3)), np.stack([np.stack([np.eye(3)] * 3)] * 2), dtype="float32")
print(len(jax.devices()))
for kernel in ("centred", "shared_feature"):
    got, want = (jax.jit(lambda m, r: e_step(m, r, kernel=kernel, chunk=64))(m, r) for r in (sharded, plain))
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-6)
    np.testing.assert_allclose(got.moments.second, want.moments.second, rtol=1e-4, atol=1e-3)
    print(kernel)
"""


# ---- what follows from a sum over rows --------------------------------------------------------------------------


def test_single_rows_are_found_by_a_pass(rng):
    n = 3000  # in slots of which the last chunk repeats some
    x, w = rng.normal(size=(n, 3)), rng.integers(1, 4, n).astype(float)
    with scope():
        whole, split = rows(x, w), halves(x, w)
        assert whole.n_slots > 2048
        assert whole.n_slots % 2048
        assert split.present().tolist() == list(range(n))
        index = jnp.asarray([5, n - 1, 5, 0, 101, 99, 100, 2000, 2100])
        chex.assert_trees_all_equal(jax.jit(lambda place: place.take(index))(split), whole.take(index))
        chex.assert_trees_all_equal(split.pick(np.array([250, 3])), whole.pick(np.array([250, 3])))
        chex.assert_trees_all_equal(super(ArrayRows, whole).take(index), whole.take(index))


def test_samples_of_any_place_are_those_of_an_array(rng):
    x = rng.normal(size=(300, 3))
    with scope():
        whole, split = rows(x), halves(x, np.ones(300))
        for n, room in ((40, None), (40, 500), (700, None)):
            key = jax.random.key(n)
            chex.assert_trees_all_equal(split.sample(key, n, room), whole.sample(key, n, room))


def test_without_a_fold_nothing_of_it_is_drawn(rng):
    x = rng.normal(size=(60, 2))
    with scope():
        laid, fold = rows(x), np.arange(60) % 3
        spare = (0, laid.n_slots - 60)
        kept = jnp.asarray([40.0, 40, 40, 60]), jnp.asarray([40, 40, 40, 60])
        folded = FoldedRows(laid, jnp.asarray(np.pad(fold, spare, constant_values=-1)), *kept)
        assert folded.present().tolist() == list(range(60))
        others = without(folded, jnp.asarray(1))
        assert others.present().tolist() == np.flatnonzero(fold != 1).tolist()
        drawn = others.sample(jax.random.key(0), 40)
        np.testing.assert_allclose(np.sort(drawn.x[0, :40]), np.sort(x[fold != 1, 0]))


@pytest.mark.parametrize(("method", "search"), [*((method, "all") for method in METHODS), ("k-means++", "race")])
def test_a_fit_to_rows_in_two_arrays(method, search, rng, monkeypatch):
    """Nothing in a fit needs more of its rows than the contract has."""
    x, made = clumps(rng), []

    def in_two(source, *args):
        whole, numbers = placed(source, *args), np.arange(source.shape[0])
        made.append(TwoArrays(whole.pick(numbers[:250]), whole.pick(numbers[250:])))
        return made[-1]

    options = {"n_init": 8, "init": method, "search": search, "tol": 1e-6, "max_iter": 60}
    want = jaxgmm.fit(1, x, 3, **options)
    monkeypatch.setattr(posing, "placed", in_two)
    got = jaxgmm.fit(1, x, 3, **options)
    assert len(made) == 1
    np.testing.assert_allclose(got.score, want.score, rtol=1e-7)
    if search == "all":
        np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-6)


def test_nothing_outside_of_rows_needs_them_in_one_array():
    named = []
    for file in (ROOT / "jaxgmm").rglob("*.py"):
        if file.parent.name == "rows":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            found = {getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None)}
            if "ArrayRows" in found:
                named.append(f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert named == []


# ---- where rows come from ---------------------------------------------------------------------------------------


def same(a, b):
    for name in ("log_likelihood", "status", "n_iter", "history"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    chex.assert_trees_all_equal(a.mixtures, b.mixtures)


@pytest.mark.parametrize("n", [5, 10, 11, 40])
def test_chosen_rows_come_in_full_blocks(n, rng):
    x, w, labels = rng.normal(size=(n, 2)), rng.uniform(size=n), rng.integers(0, 3, n)
    keep = rng.uniform(size=n) < 0.6
    keep[0] = True
    for source in (ArraySource(x, w, labels), Cards(x, w, labels, on_each=3)):
        chosen = Chosen(source, keep)
        blocks = list(chosen.blocks(10))
        assert [len(block.x) for block in blocks] == [min(10, keep.sum() - at) for at in range(0, keep.sum(), 10)]
        np.testing.assert_array_equal(np.concatenate([block.x for block in blocks]), x[keep])
        np.testing.assert_array_equal(np.concatenate([block.weight for block in blocks]), chosen.weights)
        np.testing.assert_array_equal(chosen.weights, w[keep])
        np.testing.assert_array_equal(chosen.labels, labels[keep])
        index = np.unique(rng.integers(0, keep.sum(), 4))
        np.testing.assert_array_equal(chosen.rows_at(index), x[keep][index])
        assert chosen.shape == x[keep].shape


def test_a_source_that_is_no_array_is_fitted_as_one(rng):
    x, w = clumps(rng, 3000).astype(np.float32), rng.integers(0, 3, 3000).astype(np.float32)
    labels = np.where(rng.uniform(size=3000) < 0.05, (x[:, 0] // 6).clip(0, 2).astype(int), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Cards(x, w, labels)
        same(
            jaxgmm.fit(0, source, 3, n_init=4, max_iter=30),
            jaxgmm.fit(0, x, 3, n_init=4, max_iter=30, sample_weight=w, labels=labels),
        )
        got, want = (jaxgmm.fit(0, rows, 3, n_init=4, max_iter=30) for rows in (Cards(x), x))
        np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-6)
        # of all rows, one start for all of them
        owners = rng.integers(0, 3, 3000)
        known = [
            jaxgmm.fit(0, rows, 3, max_iter=1, labels=own)
            for rows, own in ((Cards(x, labels=owners), None), (x, owners))
        ]
        np.testing.assert_allclose(known[0].mixture.means, known[1].mixture.means, rtol=1e-5)
        # what is given for every row is given for those without weight, too
        both = [jaxgmm.fit(0, *rows, init=owners, max_iter=0) for rows in ((Cards(x, w), 3), (x, 3))]
        weighted = jaxgmm.fit(0, x, 3, init=owners, max_iter=0, sample_weight=w)
    same(both[0], weighted)
    assert not np.allclose(both[1].mixture.means, weighted.mixture.means)


def test_rows_without_weight_are_left_out_of_answers_bit_for_bit(rng):
    x = clumps(rng, 70_000).astype(np.float32)
    w = (rng.uniform(size=len(x)) < 0.97).astype(np.float32)
    same(
        jaxgmm.fit(0, x, 2, sample_weight=w, max_iter=3, n_init=2),
        jaxgmm.fit(0, x[w > 0], 2, sample_weight=w[w > 0], max_iter=3, n_init=2),
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_posing_takes_no_second_copy_of_the_rows(tmp_path, weighted):
    """A memory map of 64 MB: beside what is laid out there are some blocks, and some numbers for each row."""
    n, d = 2_000_000, 8
    rng = np.random.default_rng(0)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (n, d))
    for start in range(0, n, 1 << 16):
        x[start : start + (1 << 16)] = rng.normal(size=x[start : start + (1 << 16)].shape)
    x.flush()
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    source: RowSource = ArraySource(x, (np.arange(n) % 10 > 0).astype(np.float32) if weighted else None)
    if weighted:
        source = Chosen(source, source.present())
    pose(ArraySource(np.array(x[:1000])), FAMILIES["full"], 4, "auto", None, np.dtype(np.float32))  # compiled, imported
    tracemalloc.start()
    problem = pose(source, FAMILIES["full"], 4, "auto", None, np.dtype(np.float32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert int(problem.rows.n_rows) == (n * 9 // 10 if weighted else n)
    laid = problem.rows.n_slots * d * 4
    assert laid <= peak < 1.6 * laid


def test_a_source_is_looked_at_like_an_array(rng):
    x = rng.normal(size=(2000, 2))
    bad = x.copy()
    bad[1500, 1] = np.nan
    wrong = {
        r"x must be finite, got nan at row 1500, column 1": Cards(bad),
        r"x must give the 2001 rows that its shape tells of, got 2000": Cards(x, shape=(2001, 2)),
        r"x must give blocks with 3 columns of float64, .* got 2 of float64 at row 0": Cards(x, shape=(2000, 3)),
        r"x must give blocks with 2 columns of float32, .* got 2 of float64": Cards(x, dtype=np.dtype(np.float32)),
        r"sample_weight must be finite and at least 0, got -1.0 at row 1999": Cards(x, np.r_[np.ones(1999), -1]),
        r"labels must be 0 … 2, or -1 where unknown; got 7 at row 3": Cards(
            x, labels=np.r_[0, 1, 2, 7, np.zeros(1996, int)]
        ),
    }
    for message, source in wrong.items():
        with pytest.raises(ValueError, match=message):
            jaxgmm.fit(0, source, 3)
    for name, value in (("sample_weight", np.ones(2000)), ("labels", np.zeros(2000, int))):
        with pytest.raises(ValueError, match=f"{name} must be left out where x is a RowSource"):
            jaxgmm.fit(0, Cards(x), 3, **{name: value})
    with pytest.raises(ValueError, match=r"x must hold only 0 and 1 .* at row 0, column 0"):
        jaxgmm.fit(0, Cards(x), 3, covariance_type="bernoulli")
    with pytest.raises(ValueError, match=r"x must hold only 0 and 1 .* got 2.0 at row 70000, column 0"):
        jaxgmm.fit(0, np.r_[np.ones(70_000), 2][:, None], 1, covariance_type="bernoulli")


def test_fingerprints_tell_rows_weights_and_labels_apart(rng):
    x, w, labels = rng.normal(size=(50, 2)), np.ones(50), np.zeros(50, int)
    other = x.copy()
    other[-1, -1] += 1
    keep, more = np.arange(50) > 3, np.arange(50) > 2
    sources = [
        ArraySource(x), ArraySource(other), ArraySource(x, w), ArraySource(x, 2 * w), ArraySource(x, None, labels),
        ArraySource(x, None, labels + 1), ArraySource(x.reshape(100, 1)), ArraySource(x.astype(np.float32)),
        Chosen(ArraySource(x), keep), Chosen(ArraySource(x), more),
    ]  # fmt: skip
    assert len({source.fingerprint() for source in sources}) == len(sources)
    assert ArraySource(x.copy(), w.copy()).fingerprint() == ArraySource(x, w).fingerprint()


def test_a_fit_to_a_source_goes_on_from_its_checkpoint(tmp_path, rng):
    x = clumps(rng, 2000)
    options = {"n_init": 3, "tol": 0, "max_iter": 150, "search": "all"}
    path, seen = tmp_path / "c", []

    def die(info):
        seen.append(info)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jaxgmm.fit(0, Cards(x), 3, checkpoint=path, every=0.0, on_block=die, **options)
    with pytest.raises(jaxgmm.CheckpointError, match="other x:"):
        jaxgmm.fit(0, Cards(x + 1), 3, checkpoint=path, **options)
    same(jaxgmm.fit(0, Cards(x), 3, checkpoint=path, **options), jaxgmm.fit(0, Cards(x), 3, **options))
    assert len(seen) == 3


def test_mixtures_of_a_source_are_those_of_the_data(rng):
    """Not of the coordinates that the fit was in."""
    x = 1e4 + clumps(rng, 900)
    found = jaxgmm.fit(0, Cards(x, on_each=100), 3, n_init=4).mixture
    assert found.log_likelihood(x) == pytest.approx(jaxgmm.fit(0, x, 3, n_init=4).mixture.log_likelihood(x), rel=1e-8)
    assert mixture("full", rng, d=2).log_likelihood(x) < found.log_likelihood(x)
