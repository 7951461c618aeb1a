"""Rows that are read anew in every pass: the same answers as in memory, and what becomes of passes that are not ended."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import scope
from places import Cards

import jaxgmm
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.rows import ArraySource
from jaxgmm.streams import laying, reader, streamed

F64 = np.dtype(np.float64)
N, D, K = 3001, 3, 3


def clusters(n=N, seed=0):
    rng = np.random.default_rng(seed)
    roots, z = rng.normal(size=(K, D, D)) / np.sqrt(D), rng.integers(0, K, n)
    return 4 * rng.normal(size=(K, D))[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(n, D))), z


X, Z = clusters()


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(laying, "_BLOCK_NUMBERS", 256 * D)
    monkeypatch.setattr(laying, "_BLOCK_ROWS", (1, 1 << 20))


def place(x, weights=None, room=0, dtype=F64):
    return streamed(ArraySource(x, weights), lambda rows: np.asarray(rows, np.float64).T, dtype, room=room)


# ---- sums ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 255, 256, 257, 1000])
def test_sums_are_those_of_all_rows(n, dtype):
    x, weights = X[:n].astype(dtype), np.arange(n) % 3.0
    x[weights == 0] = np.inf  # a row without weight is as if left out

    def sums(power, rows):
        return rows.weights.sum(), rows.x**power @ rows.weights, rows.index @ rows.weights

    with scope():
        rows = place(x, weights, dtype=np.dtype(dtype))
        found = rows.attended(lambda: jax.jit(lambda rows: rows.total(sums, 2, 100).total)(rows))
        assert (rows.n_features, int(rows.n_rows), rows.dtype) == (D, n, dtype)
    there, wide = weights > 0, x.astype(np.float64)
    np.testing.assert_allclose(found[0], weights.sum())
    np.testing.assert_allclose(found[1], weights[there] @ wide[there] ** 2, rtol=1e-12 if dtype == np.float64 else 1e-6)
    np.testing.assert_allclose(found[2], weights @ np.arange(n))


def test_single_rows_are_those_of_the_source():
    index = np.array([7, 2999, 0, 7, 512])
    with scope():
        rows = place(X, np.arange(N) + 1.0)
        taken = rows.attended(lambda: jax.jit(lambda rows, index: rows.take(index))(rows, jnp.asarray(index)))
        picked = rows.pick(index)
    np.testing.assert_array_equal(taken.x, X[index].T)
    np.testing.assert_array_equal(taken.weights, index + 1.0)
    np.testing.assert_array_equal(picked.x[:, :5], X[index].T)
    assert float(picked.total_weight) == np.sum(index + 1.0)


def test_what_is_kept_is_not_read_again():
    source = Counted(X)
    with scope():
        rows = streamed(source, lambda rows: rows.T, F64, room=6 * 256 * (D + 1) * 8)
        total = jax.jit(lambda rows: rows.total(lambda _, some: some.x @ some.weights, None, 100).total)
        values = [np.asarray(rows.attended(lambda: total(rows))) for _ in range(3)]
    held = reader.numbered(rows.reader)
    assert len(held._kept) == 6
    for value in values:
        np.testing.assert_array_equal(value, values[0])


class Counted(Cards):
    """A stack of cards that counts how often it is read, and does something at each block."""

    def __init__(self, x, at_block=lambda number: None, **options):
        super().__init__(x, **options)
        self.number, self.at_block = 0, at_block

    def blocks(self, size):
        for block in super().blocks(size):
            self.number += 1
            self.at_block(self.number)
            yield block


# ---- fits ---------------------------------------------------------------------------------------------------------

LABELS = np.where(np.arange(N) % 50 == 0, Z, -1)
FITS = {
    "full": {}, "tied": {"covariance_type": "tied"}, "diag": {"covariance_type": "diag"},
    "spherical": {"covariance_type": "spherical"}, "float32": {"dtype": "float32"},
    "weights": {"sample_weight": np.arange(N) % 3.0}, "labels": {"labels": LABELS}, "prior": {"prior": "default"},
    "fixed": {"fixed": jaxgmm.Fixed(weights=np.array([0.2, np.nan, np.nan]))},
    "random": {"init": "random", "max_iter": 5}, "kmeans": {"init": "kmeans"},
    "given": {"init": np.eye(K)[Z] * 0.8 + 0.2 / K, "n_init": None},
    "race": {"n_init": 8, "search": "race"}, "hard": {"driver": jaxgmm.HardEM()},
    "squarem": {"driver": jaxgmm.Squarem()}, "lbfgs": {"driver": jaxgmm.Gradient("lbfgs"), "max_iter": 8},
    "batches": {"driver": jaxgmm.Gradient("adam", batch_size=64), "max_iter": 8, "tol": 0.0},
    "centred": {"kernel": "centred"}, "some kept": {"cache": 30_000}, "gone": {"n_init": 8, "on_degenerate": "reinit"},
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_fits_are_those_in_memory(name):
    """The same starts, the same steps, and to rounding the same ends."""
    options = {"n_init": 3, "search": "all", "engine": "jax"} | FITS[name]
    cache = options.pop("cache", "none")
    held = jaxgmm.fit(0, X, K, cache="all", **options)
    read = jaxgmm.fit(0, X, K, cache=cache, **options)
    if name != "race":  # the last restarts of which run in batches of their own
        np.testing.assert_array_equal(read.restarts.n_iter, held.restarts.n_iter)
        np.testing.assert_array_equal(read.restarts.status, held.restarts.status)
    single = options.get("dtype") == "float32"
    off = np.abs(read.restarts.log_likelihood - held.restarts.log_likelihood) / N
    assert off.max() < (1e-5 if single else 1e-10)
    # Restarts that have come to the same optimum have it in orders of their own.
    means = [result.mixture.means[np.argsort(result.mixture.means[:, 0])] for result in (read, held)]
    np.testing.assert_allclose(*means, atol=1e-3 if single else 1e-8)


@pytest.mark.parametrize("criterion", ["bic", "heldout", "cv"])
def test_selections_are_those_in_memory(criterion):
    options = {"covariance_types": ["full", "diag"], "n_init": 2, "criterion": criterion, "n_folds": 3, "engine": "jax"}
    held = jaxgmm.select(0, X, (1, 2, 3), cache="all", **options)
    read = jaxgmm.select(0, Cards(X), (1, 2, 3), cache="none", **options)
    assert (read.covariance_type, read.n_components) == (held.covariance_type, held.n_components)
    wanted = [cell.criterion for cell in held.table]
    np.testing.assert_allclose([cell.criterion for cell in read.table], wanted, rtol=1e-9)


def test_another_source_of_the_same_shape_compiles_nothing():
    options = {"n_init": 2, "search": "all", "engine": "jax", "cache": "none"}
    jaxgmm.fit(0, X, K, **options)
    compiled = []
    with jax.log_compiles():
        import logging

        class Heard(logging.Handler):
            def emit(self, record):
                if record.getMessage().startswith("Compiling"):
                    compiled.append(record.getMessage())

        logger, heard = logging.getLogger("jax"), Heard()
        logger.addHandler(heard)
        try:
            jaxgmm.fit(0, Cards(X[::-1].copy()), K, **options)
        finally:
            logger.removeHandler(heard)
    assert compiled == []


def test_nothing_is_left_behind():
    before = threading.active_count()
    for _ in range(3):
        jaxgmm.fit(0, X, K, engine="jax", cache="none", max_iter=2)
    gc.collect()
    assert reader._readers == {}
    assert threading.active_count() <= before + 1


STREAM = {"engine": "jax", "cache": "none", "n_init": 2, "search": "all"}

# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_made_leaves_nothing_behind():
    class Broken(ArraySource):
        def rows_at(self, index):
            raise OSError("the disk is gone")

    before = set(reader._readers)
    with pytest.raises(OSError, match="the disk is gone"), scope():
        streamed(Broken(X), lambda rows: rows.T, F64)
    assert set(reader._readers) == before


def test_a_block_that_is_asked_for_again_is_not_read_again():
    """Line searches ask once a restart."""
    source = Counted(X)
    jaxgmm.fit(0, source, K, driver=jaxgmm.Gradient("lbfgs"), max_iter=2, **STREAM | {"n_init": 4})
    assert source.number < 2500


def failing(at, error):
    def look(number):
        if number == at:
            raise error

    return look


@pytest.mark.parametrize("at", [40, 55, 63])
def test_what_a_source_raises_in_a_pass_is_raised(at):
    """And the next fit is none the worse for it."""
    quiet = Counted(X)
    jaxgmm.fit(0, quiet, K, **STREAM, max_iter=3)
    assert quiet.number > at
    with pytest.raises(OSError, match="the disk is gone"):
        jaxgmm.fit(0, Counted(X, failing(at, OSError("the disk is gone"))), K, **STREAM, max_iter=3)
    assert jaxgmm.fit(0, X, K, **STREAM, max_iter=3).engine == "jax"


class Changing(Cards):
    """Rows of which there are more or fewer after a while."""

    def __init__(self, x, later, after):
        super().__init__(x)
        self.later, self.after, self.reads = Cards(later).cards, after, 0

    def blocks(self, size):
        self.reads += 1
        if self.reads > self.after:
            self.cards = self.later
        yield from super().blocks(size)


@pytest.mark.parametrize(
    ("later", "got"), [(X[:-1], "3000 in this one"), (X[:100], "100 in this one"), (np.r_[X, X], "3072 in this one")]
)
def test_rows_that_become_more_or_fewer_are_refused(later, got):
    with pytest.raises(ArgumentError, match=f"x must give .*3001 rows.*{got}"):
        jaxgmm.fit(0, Changing(X, later, 12), K, **STREAM)


def slow(number):
    if number > 15 * 61:  # reads come before steps
        time.sleep(0.05)


def test_a_limit_of_time_ends_a_pass():
    jaxgmm.fit(0, X, K, **STREAM, max_iter=2)
    begun = time.perf_counter()
    result = jaxgmm.fit(0, Counted(X, slow, on_each=50), K, **STREAM, tol=0.0, max_seconds=4.0, dtype="float64")
    assert time.perf_counter() - begun < 12  # a pass takes 3 s
    assert jaxgmm.Status.TIME_LIMIT in result.restarts.status
    assert np.isfinite(result.score)


def test_a_long_pass_is_reported_and_can_be_stopped():
    heard = []

    def stop(info):
        heard.append(info)
        return len(heard) == 3

    result = jaxgmm.fit(0, Counted(X, slow, on_each=50), K, **STREAM, tol=0.0, on_block=stop)
    assert jaxgmm.Status.STOPPED in result.restarts.status
    assert len(heard) == 3
    assert [info.rows for info in heard] == sorted(info.rows for info in heard)
    assert heard[0].rows < heard[2].rows


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupted_fit_ends_at_once_and_goes_on_where_it_stood(tmp_path):
    code = """
        import sys, time
        import numpy as np
        import jaxgmm
        from jaxgmm.streams import laying
        laying._BLOCK_NUMBERS, laying._BLOCK_ROWS = 600, (1, 1 << 20)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(2000, 2)) + 4.0 * rng.integers(0, 3, size=(2000, 1))
        pause = float(sys.argv[1])
        def blocks():
            for start in range(0, 2000, 100):
                time.sleep(pause)
                yield x[start : start + 100]
        rows = jaxgmm.sources.from_blocks(blocks, 2000)
        told = lambda info: print("step", info.n_iter, flush=True)
        result = jaxgmm.fit(0, rows, 3, n_init=2, search="all", engine="jax", cache="none", tol=0.0, max_iter=60,
                            checkpoint=sys.argv[2], every=1e6, on_block=told)
        print("score", repr(result.score))
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))

    def run(pause, checkpoint):
        command = [sys.executable, "-W", "ignore", str(script), str(pause), str(tmp_path / checkpoint)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    whole, _ = run(0, "a").communicate()
    process = run(0.02, "b")
    while not process.stdout.readline().startswith("step 32"):
        assert process.poll() is None
    time.sleep(0.2)
    begun = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert time.perf_counter() - begun < 5
    assert "KeyboardInterrupt" in errors
    rest, _ = run(0, "b").communicate()
    assert whole.splitlines()[-1] == rest.splitlines()[-1]
    assert "step 32" not in rest  # it had been done before


def test_in_the_room_that_there_is_nothing_is_read_twice(monkeypatch):
    from jaxgmm.problem import pose as posing

    made = []
    monkeypatch.setattr(posing, "streamed", lambda *args, **options: made.append(options) or streamed(*args, **options))
    jaxgmm.fit(0, X, K, engine="jax", max_iter=1)
    assert made == []
    monkeypatch.setattr("jaxgmm.streams.room.free_bytes", lambda: 1000)
    jaxgmm.fit(0, X, K, engine="jax", max_iter=1)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("cache", "said"),
    [("some", "cache"), (-1, "cache must be at least 0"), (1.5, "cache must be"), (True, "cache must be")],
)
def test_caches_that_are_none_are_refused(cache, said):
    with pytest.raises(ArgumentError, match=said):
        jaxgmm.fit(0, X, K, cache=cache)
