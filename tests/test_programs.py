"""What is compiled: few programs for rows of any number, and no more than a process can hold."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import textwrap
import warnings
from collections import Counter
from contextlib import contextmanager

import jax
import numpy as np
import pytest

import jaxgmm
from jaxgmm import GaussianMixture, Mixture
from jaxgmm.inputs import programs
from jaxgmm.rows.rungs import RUNGS, slots_for

RNG = np.random.default_rng(0)


def rows(n, d=3):
    """Two clusters, so that all fits take the same roads."""
    return RNG.normal(size=(n, d)) + 6.0 * (np.arange(n) % 2)[:, None]


@contextmanager
def compiling():
    """Counts, by name, what is compiled meanwhile."""
    names: Counter[str] = Counter()

    class Heard(logging.Handler):
        def emit(self, record):
            if found := re.match(r"Compiling jit\((\S+?)\)", record.getMessage()):
                names[found[1]] += 1

    logger, heard = logging.getLogger("jax"), Heard()
    logger.addHandler(heard)
    try:
        with jax.log_compiles():
            yield names
    finally:
        logger.removeHandler(heard)


def test_slots_are_few_and_hardly_more_than_rows():
    for n in [*range(1, 5000), 8192, 65_536, 65_537, 131_072, 999_999, 10**7, 10**9]:
        slots = slots_for(n)
        assert slots >= n
        assert slots % 16 == 0
        assert slots - n <= max(31, 0.08 * n if n <= 1 << 16 else 0.02 * n)
        assert slots <= slots_for(n, read=False) <= max(n + 31, 1.08 * n)
    assert slots_for(100_288, read=False) == slots_for(101_288, read=False)
    assert sum(rung < 10**4 for rung in RUNGS) < 70
    assert {8192, 65_536, 1 << 20} <= set(RUNGS)


MIXTURE = Mixture.create([0.5, 0.5], [[0.0] * 3, [6.0] * 3], np.tile(np.eye(3), (2, 1, 1)))
WAYS = {
    "fit": lambda n: jaxgmm.fit(0, rows(n), 2),
    "kmeans": lambda n: jaxgmm.fit(0, rows(n), 2, init="kmeans", max_iter=2),
    "labels": lambda n: jaxgmm.fit(0, rows(n), 2, labels=np.arange(n) % 3 - 1, max_iter=2),
    "weights": lambda n: jaxgmm.fit(0, rows(n), 2, sample_weight=1.0 + np.arange(n) % 3, max_iter=2),
    "estimator": lambda n: GaussianMixture(2, random_state=0).fit(rows(n)).predict(rows(n)),
    "sample": lambda n: MIXTURE.sample(0, n),
    "select": lambda n: jaxgmm.select(0, rows(n), (1, 2), covariance_types="diag", n_init=2, criterion="cv"),
    "fit_many": lambda n: jaxgmm.fit_many(0, [rows(n), rows(n + 1)], 2),
    "revive": lambda n: jaxgmm.fit(0, np.r_[rows(n - 12), np.full((12, 3), 3.0)], 4, n_init=2, max_iter=20),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_new_number_of_rows_compiles_at_most_once_a_rung(way):
    """Sixty and more fits of as many sizes."""
    sizes = [401, 416, 405, 417, 430, 448, 433]
    jax.clear_caches()
    with compiling() as names, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WAYS[way](sizes[0])
        first = names.copy()
        assert sum(first.values()) > 0
        for size in sizes[1:3]:
            WAYS[way](size)
        assert names == first
        for size in sizes[3:]:
            WAYS[way](size)
    again = names - first
    assert all(count <= first[name] for name, count in again.items()), again
    assert "_sample" not in again


def test_a_sample_is_the_first_rows_of_a_longer_one():
    x, labels = MIXTURE.sample(7, 1000)
    for n in (1, 63, 64, 65, 999):
        few, whose = MIXTURE.sample(7, n)
        np.testing.assert_array_equal(few, x[:n])
        np.testing.assert_array_equal(whose, labels[:n])
    blocks = list(MIXTURE.sample_blocks(7, 1000))
    np.testing.assert_array_equal(np.concatenate([block for block, _ in blocks]), x)
    assert len(np.unique(x[:, 0])) == 1000


@pytest.mark.skipif(programs.n_maps() is None, reason="the system does not tell of memory maps")
def test_programs_are_let_go_of_before_the_system_runs_out_of_maps(monkeypatch):
    other = jax.jit(lambda x: x * 2 + 1)
    other(np.ones(7, np.float32))
    jaxgmm.fit(0, rows(50), 2)
    room = 1500
    monkeypatch.setattr(programs._WATCH, "limit", programs.n_maps() + room)
    monkeypatch.setattr(programs._WATCH, "floor", programs.n_maps())
    monkeypatch.setattr(programs, "_EVERY", 4)
    released, held = programs._WATCH.released, []
    for d in range(2, 8):
        jaxgmm.fit(0, rows(60, d), 2, max_iter=3)
        held.append(programs.n_maps())
    assert programs._WATCH.released > released
    assert max(held) < programs._WATCH.limit
    assert min(np.diff(held)) < 0
    with compiling() as names:
        np.testing.assert_array_equal(other(np.ones(7, np.float32)), 3.0)  # what others have compiled stays
        assert not names
        assert np.isfinite(jaxgmm.fit(0, rows(60, 2), 2, max_iter=3).score)  # and what is gone comes back


def test_programs_are_counted_where_the_system_does_not_tell(monkeypatch):
    watch = programs._WATCH
    monkeypatch.setattr(watch, "limit", None)
    monkeypatch.setattr(watch, "born", watch.released + programs._MOST - 1)
    monkeypatch.setattr(watch, "seen", 0)
    let_go = []
    monkeypatch.setattr(programs, "release", lambda: let_go.append(watch.born))
    watch.look()
    assert not let_go
    watch.born += programs._EVERY
    watch.look()
    watch.look()
    assert len(let_go) == 1


@pytest.mark.slow
def test_two_thousand_fits_of_as_many_sizes_live_in_one_process():
    code = """
        import os, time, warnings
        import numpy as np
        import jaxgmm
        from jaxgmm import GaussianMixture, programs

        warnings.simplefilter("ignore")
        rng = np.random.default_rng(0)
        shapes = [(d, k) for d in range(2, 9) for k in range(1, 7)]
        most, begun = 0, time.perf_counter()
        for i in range(2000):
            n, (d, k) = 100 + i, shapes[i * len(shapes) // 2000]
            x = rng.normal(size=(n, d)) + 5 * rng.integers(k, size=(n, 1))
            if i % 4 == 0:
                assert np.isfinite(jaxgmm.fit(0, x, k, max_iter=5).score)
            elif i % 4 == 1:
                assert GaussianMixture(k, max_iter=5, random_state=0).fit(x).predict(x).shape == (n,)
            elif i % 4 == 2:
                assert len(jaxgmm.fit(0, x, k, n_init=2, max_iter=5).mixture.sample(0, n)[0]) == n
            else:
                assert np.isfinite(jaxgmm.fit_many(0, [x, x[1:]], k, max_iter=5).score).all()
            most = max(most, programs.n_maps() or 0)
            if i % 100 == 0:
                print(i, most, programs._WATCH.born, round(time.perf_counter() - begun), flush=True)
        print("most", most, "compiled", programs._WATCH.born)
        assert most < 0.75 * (programs._WATCH.limit or np.inf)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    print(done.stdout)
