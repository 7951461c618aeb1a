"""The checks by themselves, and what mixtures refuse. What `fit` does with bad input stands in `test_faults.py`."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import jaxgmm
from jaxgmm import Mixture
from jaxgmm.inputs import arguments, arrays
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.inputs.wording import InPython, Wording, said

GOOD = np.random.default_rng(0).normal(size=(20, 3))
OTHER = Mixture.create([1.0], np.zeros((1, 2)), np.eye(2)[None])


def hole(value):
    x = GOOD.copy()
    x[7, 2] = value
    return x


# ---- errors that say what they are about ----------------------------------------------------------------------


def test_an_argument_error_is_made_of_its_fields():
    error = ArgumentError("tol", "be at least 0", "-1", "use 0")
    assert str(error) == "tol must be at least 0, got -1; use 0"
    assert (error.argument, error.wants, error.got, error.hint) == ("tol", "be at least 0", "-1", "use 0")
    assert str(ArgumentError("init", "be one of 'a', 'b'", "'c'")) == "init must be one of 'a', 'b'; got 'c'"
    assert str(ArgumentError("x", "have shape (n, d)", "(3,)")) == "x must have shape (n, d), got (3,)"
    assert str(ArgumentError("x", "be dense")) == "x must be dense"
    assert str(error.of("fixed.tol")) == "fixed.tol must be at least 0, got -1; use 0"


def test_errors_of_type_can_be_caught_as_such():
    with pytest.raises(jaxgmm.ArgumentError) as caught:
        jaxgmm.fit(0, GOOD, 2.0)
    assert isinstance(caught.value, TypeError)
    assert (caught.value.argument, caught.value.got) == ("n_components", "2.0 of type float")
    assert not issubclass(ArgumentError, TypeError)


@pytest.mark.parametrize("kind", [ArgumentError, ArgumentTypeError])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_pass_from_process_to_process(kind, again):
    error = kind("n_init", Wording("be {held}, as {init} holds", held=3), "5", Wording("raise {tol}"))
    found = again(error)
    assert type(found) is kind
    assert str(found) == str(error) == "n_init must be 3, as init holds; got 5; raise tol"
    assert found.said(dashed) == error.said(dashed) == "--n_init must be 3, as --init holds; got 5; raise --tol"


def dashed(name, value):
    return f"--{name}" if value is None else f"--{name} {value}"


def test_a_wording_says_the_same_with_other_names():
    text = Wording("use {dtype:'float64'} or {tol} below {least:.1e}", least=0.25)
    assert text == "use dtype='float64' or tol below 2.5e-01"
    assert text.said(dashed) == "use --dtype 'float64' or --tol below 2.5e-01"
    both = Wording.joined("; ", [text, "tol itself stays", Wording("raise {n_init}{aside}", aside=InPython("; see x"))])
    assert both == f"{text}; tol itself stays; raise n_init; see x"
    assert said(both, dashed) == "use --dtype 'float64' or --tol below 2.5e-01; tol itself stays; raise --n_init"
    assert (
        Wording("{kinds}", kinds=Wording("{covariance_type:{kind!r}}", kind="{tol}")).said(dashed)
        == "--covariance_type '{tol}'"
    )
    assert said("tol {tol}", dashed) == "tol {tol}"


# ---- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("ful", "full"), ("FULL", "full"), ("diagonal", "diag"), ("sphere", "spherical"), ("xyz", None)],
)
def test_choices_know_what_was_meant(wrong, meant):
    with pytest.raises(ValueError, match=rf"^kind must be one of 'full', .*; got '{wrong}'") as caught:
        arguments.choice("kind", wrong, ["full", "diag", "spherical"])
    assert ("did you mean" in str(caught.value)) == (meant is not None)
    if meant:
        assert str(caught.value).endswith(f"; did you mean {meant!r}?")
    assert arguments.choice("kind", "diag", ["full", "diag"]) == "diag"


def test_integers_of_every_kind():
    for value in (3, np.int8(3), np.uint64(3)):
        found = arguments.integer("n", value, 1)
        assert found == 3
        assert type(found) is int
    assert arguments.integer("n", 2**31 - 1, 1) == 2**31 - 1
    assert arguments.integer("n", 2**40, 1, maximum=2**50) == 2**40
    for value in (3.5, np.nan, np.inf, np.float32(3.5), "3", None, True, np.True_, [3]):
        with pytest.raises(TypeError, match=r"^n must be an integer, got .* of type") as caught:
            arguments.integer("n", value, 1)
        assert "use" not in str(caught.value)
    for value in (3.0, np.float32(3)):
        with pytest.raises(TypeError, match=r"; use 3$"):
            arguments.integer("n", value, 1)


def test_numbers_of_every_kind():
    for value in (2, 2.0, np.float16(2), np.array(2.0), jnp.asarray(2.0), np.int64(2)):
        assert arguments.real("tol", value) == 2.0
    for value in ("2", b"2", None, 2j, [2.0], np.ones(1), True, object()):
        with pytest.raises(TypeError, match=r"^tol must be a number, got .* of type"):
            arguments.real("tol", value)
    for value in (-1, np.nan, np.inf, -np.inf, 10**400):
        with pytest.raises(ValueError, match=r"^tol must be a finite number of at least 0, got"):
            arguments.real("tol", value)
    assert arguments.real("tol", -1, minimum=-2) == -1


def test_a_number_or_a_word():
    assert arguments.real_or_word("ridge", "auto", ["auto"]) == "auto"
    assert arguments.real_or_word("ridge", 0.5, ["auto"]) == 0.5
    with pytest.raises(ValueError, match=r"^ridge must be a number or 'auto', got 'Auto'; did you mean 'auto'\?$"):
        arguments.real_or_word("ridge", "Auto", ["auto"])
    with pytest.raises(ValueError, match=r"^ridge must be a finite number of at least 0, got -1"):
        arguments.real_or_word("ridge", -1, ["auto"])
    with pytest.raises(TypeError, match=r"^ridge must be a number, got None"):
        arguments.real_or_word("ridge", None, ["auto"])


def test_what_is_shown_is_one_short_line():
    with pytest.raises(TypeError) as caught:
        arguments.real("tol", np.arange(1000.0).reshape(-1, 2))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


SEEDS = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40, 2**63, 2**64, 2**64 + 2**32, 2**70, 2**96, 2**128]


def test_seeds_do_not_alias():
    keys = [arguments.random_key(seed) for seed in SEEDS]
    assert len({key.tobytes() for key in keys}) == len(keys)


@pytest.mark.parametrize("x64", [False, True])
def test_seeds_mean_the_same_whatever_x64_says(x64):
    want = [arguments.random_key(seed) for seed in SEEDS]
    with jax.enable_x64(x64):
        for seed, key in zip(SEEDS, want, strict=True):
            np.testing.assert_array_equal(arguments.random_key(seed), key)
    np.testing.assert_array_equal(want[1], jax.random.key_data(jax.random.key(1)))


def test_keys_of_every_kind():
    typed = jax.random.key(3)
    for key in (typed, jax.random.PRNGKey(3), np.asarray(jax.random.PRNGKey(3)), 3, np.uint8(3)):
        np.testing.assert_array_equal(arguments.random_key(key), jax.random.key_data(typed))
    others = [arguments.random_key(jax.random.key(seed, impl="rbg")) for seed in (3, 4)]
    assert all(words.shape == (2,) for words in others)
    assert not np.array_equal(*others)


# ---- rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["score_samples", "predict", "responsibilities", "score", "bic"])
def test_mixtures_refuse_rows_of_another_width(method):
    with pytest.raises(ValueError, match="x must have 2 columns, as the mixture has features; got 3"):
        getattr(OTHER, method)(GOOD)
    with pytest.raises(ValueError, match="x must be finite, got nan at row 7, column 1"):
        getattr(OTHER, method)(hole(np.nan)[:, 1:])


def test_the_first_fault_is_found_in_a_later_block(monkeypatch):
    monkeypatch.setattr(arguments, "_BLOCK", 4)
    x = hole(np.nan)
    x[9, 0] = np.inf
    with pytest.raises(ValueError, match="got nan at row 7, column 2"):
        arguments.rows("x", x)


def test_rows_are_not_copied_where_they_need_not_be(tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for x in (GOOD, GOOD[::-2], np.asfortranarray(GOOD), mapped, GOOD.astype(ml_dtypes.bfloat16)):
        assert np.shares_memory(arguments.rows("x", x), x)
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(GOOD)
    assert np.shares_memory(arguments.rows("x", tensor), tensor.numpy())


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", ">u8"])
def test_byte_order_is_the_machines(dtype):
    found = arguments.rows("x", np.arange(6).reshape(2, 3).astype(dtype))
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, [[0, 1, 2], [3, 4, 5]])


def test_traced_rows_are_refused_by_name():
    with pytest.raises(TypeError, match=r"^x must be a concrete array, got .*Tracer; call this outside jit"):
        jax.jit(lambda x: arguments.rows("x", x))(GOOD)
    with pytest.raises(TypeError, match=r"^x must be a concrete array"):
        jax.vmap(lambda x: arguments.rows("x", x))(GOOD[None])


def test_an_error_of_memory_stays_one():
    class Large:
        def __array__(self, *_, **__):
            raise MemoryError("Unable to allocate 1 TiB")

    with pytest.raises(MemoryError, match="1 TiB"):
        arrays.to_numpy("x", Large())


def test_duplicate_column_names_are_no_obstacle():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(hole(np.nan), columns=["a", "a", "a"])
    with pytest.raises(ValueError, match=r"got nan at row 7, column 2 \('a'\); drop"):
        arguments.rows("x", frame)
    np.testing.assert_array_equal(arguments.rows("x", frame.fillna(0.0)), hole(0.0))


def test_finite_numbers_in_a_dtype_that_holds_them():
    for x in (
        [[1, 2]],
        1.5,
        np.float16(2),
        GOOD.astype(ml_dtypes.bfloat16),
        np.arange(8, dtype=">i4").reshape(2, 2, 2),
    ):
        for dtype in (np.float32, np.float64):
            found = arrays.finite("means", x, dtype)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, np.asarray(x).astype(np.float64))
    assert arrays.finite("means", [1, 2]).dtype.kind == "i"
    with pytest.raises(ValueError, match=r"^means must be finite, got nan at \[7, 2\]$"):
        arrays.finite("means", hole(np.nan), np.float32)
    with pytest.raises(ValueError, match=r"^means must be finite in float32, got 1e\+200 at \[7, 2\]$"):
        arrays.finite("means", hole(1e200), np.float32)
    with pytest.raises(ValueError, match=r"^means must be finite, got nan at \[0\]$"):
        arrays.finite("means", np.array([np.nan], ml_dtypes.bfloat16))


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scale_is_no_obstacle(scale):
    plain = jaxgmm.fit(0, GOOD.astype(np.float32), 2, reg_covar=0, max_iter=10, tol=0)
    scaled = jaxgmm.fit(0, (GOOD * scale).astype(np.float32), 2, reg_covar=0, max_iter=10, tol=0)
    np.testing.assert_allclose(scaled.mixture.means / scale, plain.mixture.means, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_constant_column_is_met_exactly(kind):
    x = np.c_[GOOD, np.full(20, 7.0)]
    with pytest.warns(UserWarning, match="constant in column 3"):
        result = jaxgmm.fit(0, x, 2, covariance_type=kind)
    assert np.isfinite(result.mixture.score(x))
    np.testing.assert_allclose(result.mixture.means[:, 3], 7.0)
