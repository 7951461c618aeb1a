"""What users add to the library is told apart, and refused in words where it does not keep its contract."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from create import scope

import jaxgmm
from jaxgmm import Driver, RowSource, Search, Status
from jaxgmm.families.traits import COUNTS
from jaxgmm.rows import ArrayRows, Block, Rows
from jaxgmm.run.checkpoint import fingerprints

FLOAT64 = np.dtype(np.float64)


class Parts(RowSource):
    """Rows in blocks that are given."""

    def __init__(self, *blocks, dtype=FLOAT64):
        self.given, self.shape = blocks, (sum(len(block[0]) for block in blocks), 2)
        if dtype is not None:
            self.dtype = dtype

    def blocks(self, size):
        yield from self.given

    def fingerprint(self):
        return b""


X = np.random.default_rng(0).normal(size=(60, 2))
EQUAL, HEAVY = Block(X[:30], np.ones(30)), Block(X[30:])

SOURCES = {
    "weights in some blocks": (
        Parts(EQUAL, HEAVY),
        "x must give a weight in all of its blocks or in none, got none in 1 of 2",
    ),
    "blocks that are none": (Parts((X,)), r"x must give its rows in blocks, jaxgmm.rows.Block\(x, ...\); got tuple"),
    "no dtype": (
        Parts(Block(X), dtype=None),
        r"x must have a shape \(n, d\) and a dtype \(np.dtype\), as every RowSource",
    ),
    "a type for a dtype": (Parts(Block(X), dtype=np.float64), r"x must have a shape \(n, d\) and a dtype"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_refused(name):
    source, words = SOURCES[name]
    with pytest.raises(ValueError, match=words):
        jaxgmm.fit(0, source, 2)


def test_what_does_not_read_sources_says_so():
    with pytest.raises(TypeError, match="got Parts, a source of rows; fit, select and mixtures read sources"):
        jaxgmm.fit_many(0, [Parts(Block(X))], 2)


@jax.tree_util.register_pytree_node_class
class Bare(Rows):
    """A place that says what it must and no more."""

    def __init__(self, inner):
        self.inner, self.total_weight, self.n_rows = inner, inner.total_weight, inner.n_rows

    n_features = property(lambda self: self.inner.n_features)
    n_slots = property(lambda self: self.inner.n_slots)

    def total(self, function, operand, chunk):
        return self.inner.total(function, operand, chunk)

    def tree_flatten(self):
        return (self.inner,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def test_a_place_that_says_no_more_than_it_must_knows_the_weights_of_its_rows():
    w = np.repeat([0.0, 1.0, 10.0], 20)
    with scope():
        inner = ArrayRows.from_array(jnp.asarray(X), jnp.asarray(w))
        np.testing.assert_array_equal(Bare(inner).row_weights(), w)
        np.testing.assert_array_equal(Bare(inner).present(), np.arange(20, 60))
        drawn, wanted = (rows.sample(jax.random.key(1), 30) for rows in (Bare(inner), inner))
        np.testing.assert_array_equal(drawn.x, wanted.x)


class Returns(Search):
    """A search that makes something of what all starts come to."""

    def __init__(self, made):
        self.made = made

    def run(self, task):
        return self.made(task.run())


def outrun(ended):
    status = np.full(len(ended.restarts), Status.OUTRUN, np.int32)
    return replace(ended, restarts=replace(ended.restarts, status=status))


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (lambda ended: None, TypeError, r"search must return an Ended\(restarts, history\), got NoneType"),
        (lambda ended: ended[:2], ValueError, "search must return a restart for each of the 4 starts, got 2 restarts"),
        (outrun, jaxgmm.FitError, "^no restart came to an end: 4 OUTRUN. Other restarts were ahead"),
    ],
)
def test_searches_that_break_their_word(made, error, words):
    with pytest.raises(error, match=words):
        jaxgmm.fit(0, X, 2, n_init=4, max_iter=3, search=Returns(made))


def test_a_search_is_a_name_or_a_search():
    for wrong in (3, Returns):
        with pytest.raises(TypeError, match="search must be a name or a search such as Race"):
            jaxgmm.fit(0, X, 2, search=wrong)


def test_checkpoints_tell_searches_apart_by_what_they_hold():
    one, two = (fingerprints(search=Returns(made))["search"] for made in (outrun, len))
    assert one != two
    assert one == fingerprints(search=Returns(outrun))["search"]


def test_a_driver_must_be_a_pytree():
    class Still(Driver):
        def init(self, mixture, e_step, penalty): ...

        def step(self, state, e_step, penalty): ...

    with pytest.raises(TypeError, match="driver must be a pytree, got Still, which is none; decorate its class"):
        jaxgmm.fit(0, X, 2, driver=Still())


def test_counts_are_whole_numbers_from_0_on():
    np.testing.assert_array_equal(COUNTS.outside(np.array([0.0, 3.0, 1.5, -1.0, 1e6])), [0, 0, 1, 1, 0])
    assert COUNTS.discrete
