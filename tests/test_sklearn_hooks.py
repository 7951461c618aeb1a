"""scikit-learn's private methods on our estimator, and the word of those who ask for scikit-learn's class."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from create import GAUSSIANS
from sklearn import mixture as theirs
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import jaxgmm
from jaxgmm import GaussianMixture
from jaxgmm.sklearn.hooks import DENSITY, STEPS

ARRAYS = ("weights_", "means_", "covariances_", "precisions_cholesky_")


@pytest.fixture(params=GAUSSIANS)
def pair(request, iris) -> tuple[GaussianMixture, theirs.GaussianMixture]:
    """The same parameters in both."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        wanted = theirs.GaussianMixture(3, covariance_type=request.param, random_state=0, max_iter=2).fit(iris)
    return GaussianMixture.from_sklearn(wanted), wanted


def assert_same_parameters(ours, wanted) -> None:
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(ours, name), getattr(wanted, name), rtol=1e-10, atol=1e-12, err_msg=name)


# ---- calls --------------------------------------------------------------------------------------------------


def test_densities_are_scikit_learns(pair, iris):
    ours, wanted = pair
    for name in ("_estimate_log_prob", "_estimate_weighted_log_prob"):
        got = getattr(ours, name)(iris)
        assert got.shape == (150, 3)
        np.testing.assert_allclose(got, getattr(wanted, name)(iris), rtol=1e-9)
    np.testing.assert_allclose(ours._estimate_log_weights(), wanted._estimate_log_weights())
    for got, want in zip(ours._estimate_log_prob_resp(iris), wanted._estimate_log_prob_resp(iris), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(np.logaddexp.reduce(ours._estimate_weighted_log_prob(iris), 1), ours.score_samples(iris))
    assert ours._n_parameters() == wanted._n_parameters()


def test_a_loop_of_ones_own_takes_scikit_learns_steps(pair, iris):
    """As libraries write it that have a step of their own between the two."""
    rng = np.random.default_rng(0)
    resp = rng.dirichlet(np.ones(3), 150)
    bounds = []
    for model in pair:
        model._initialize(iris, resp)
        for _ in range(4):
            mean, log_resp = model._e_step(iris)
            model._m_step(iris, log_resp)
            bounds.append(model._compute_lower_bound(log_resp, mean))
    assert_same_parameters(*pair)
    np.testing.assert_allclose(bounds[:4], bounds[4:], rtol=1e-11)
    np.testing.assert_allclose(pair[0].score_samples(iris), pair[1].score_samples(iris), rtol=1e-9)


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data"])
def test_starts_are_scikit_learns(method, iris):
    models = [Kind(3, init_params=method) for Kind in (GaussianMixture, theirs.GaussianMixture)]
    for model in models:
        model._check_parameters(iris)
        model._initialize_parameters(iris, np.random.RandomState(3))
    assert_same_parameters(*models)


def test_a_start_that_is_given_is_taken(pair, iris):
    _, wanted = pair
    given = {"weights_init": wanted.weights_, "means_init": wanted.means_, "precisions_init": wanted.precisions_}
    lists = {name: value.tolist() for name, value in given.items()}
    models = [
        GaussianMixture(3, covariance_type=wanted.covariance_type, **lists),
        theirs.GaussianMixture(3, covariance_type=wanted.covariance_type, **given),
    ]
    models[0]._check_parameters(iris)
    for model in models:
        model._initialize_parameters(iris, np.random.RandomState(0))
    np.testing.assert_allclose(models[0]._estimate_log_prob(iris), models[1]._estimate_log_prob(iris), rtol=1e-9)
    with pytest.raises(ValueError, match="should have the shape of"):
        GaussianMixture(3, means_init=np.ones((2, 2)))._check_parameters(iris)


def test_parameters_are_handed_over_as_scikit_learns(pair, iris):
    ours, wanted = pair
    fresh = GaussianMixture(3, covariance_type=wanted.covariance_type)
    fresh._set_parameters(wanted._get_parameters())
    assert_same_parameters(fresh, wanted)
    np.testing.assert_allclose(fresh.precisions_, wanted.precisions_)
    assert all(map(np.array_equal, ours._get_parameters(), wanted._get_parameters()))


def test_answers_come_from_the_arrays_as_they_are(pair, iris):
    ours, wanted = pair
    for model in pair:
        model.means_ = model.means_ + 1
        del model.weights_, model.covariances_  # scikit-learn's does without
    np.testing.assert_allclose(ours._estimate_log_prob(iris), wanted._estimate_log_prob(iris), rtol=1e-9)


def test_an_empty_component_has_a_density_and_no_weight(recwarn):
    model = GaussianMixture.from_parameters([1.0, 0.0], [[0.0], [1.0]], [1.0, 1.0], covariance_type="spherical")
    np.testing.assert_array_equal(model._estimate_log_weights(), [0, -np.inf])
    assert np.isfinite(model._estimate_log_prob(np.zeros((1, 1)))).all()
    assert not recwarn.list


def test_float32_stays_float32(iris):
    x = iris.astype(np.float32)
    model = GaussianMixture(3, random_state=0).fit(x)
    assert model._estimate_log_prob(x).dtype == model._e_step(x)[1].dtype == np.float32


def test_steps_do_not_pass_over_what_scikit_learn_has_not(iris):
    model = GaussianMixture(3, random_state=0).fit(iris)
    _, log_resp = model._e_step(iris)
    for name, value in (("reg_covar", "auto"), ("prior", "default"), ("fixed", jaxgmm.Fixed(weights=[0.2, 0.3, 0.5]))):
        altered = pickle.loads(pickle.dumps(model)).set_params(**{name: value})
        with pytest.raises(ValueError, match=name):
            altered._m_step(iris, log_resp)


def test_messages_of_a_loop_of_ones_own(capsys):
    printed = []
    for Kind in (GaussianMixture, theirs.GaussianMixture):
        model = Kind(verbose=1, verbose_interval=1)
        model._print_verbose_msg_init_beg(0)
        model._print_verbose_msg_iter_end(1, 0.5)
        model._print_verbose_msg_init_end(1.0, True)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


# ---- overrides ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DENSITY + STEPS)
def test_who_overrides_a_method_that_is_not_called_is_told(name, iris):
    def override(self, *args, **kwargs):
        raise AssertionError("never called")

    Derived = type("Derived", (GaussianMixture,), {name: override})
    model = Derived(2)
    for method in (model.fit, model.fit_predict):
        with pytest.raises(TypeError, match=rf"Derived overrides {name}, which"):
            method(iris)
    by_hand = Derived.from_sklearn(theirs.GaussianMixture(2, random_state=0).fit(iris))
    for answer in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
        if name in DENSITY:
            with pytest.raises(TypeError, match=rf"Derived overrides {name}, which"):
                getattr(by_hand, answer)(iris)
        else:
            getattr(by_hand, answer)(iris)


def test_an_override_on_one_object_is_seen(iris):
    model = GaussianMixture(2)
    model._m_step = lambda X, log_resp: None
    with pytest.raises(TypeError, match="overrides _m_step"):
        model.fit(iris)


def test_other_subclasses_go_on_as_before(iris):
    class Named(GaussianMixture):
        def fit(self, X, y=None):
            self.name_ = "named"
            return super().fit(X)

        def _n_parameters(self):
            return super()._n_parameters() - 1

    named, plain = Named(2, random_state=0).fit(iris), GaussianMixture(2, random_state=0).fit(iris)
    assert named.name_ == "named"
    assert named.bic(iris) == pytest.approx(plain.bic(iris) - np.log(150), rel=1e-12)
    assert named.aic(iris) == pytest.approx(plain.aic(iris) - 2, rel=1e-12)


def test_weights_of_each_row_are_for_loops_of_ones_own_alone(iris):
    """As simpeg sets them."""
    model = GaussianMixture(3, random_state=0).fit(iris)
    log_prob = model._estimate_weighted_log_prob(iris)
    model.weights_ = np.tile(model.weights_, (150, 1))
    np.testing.assert_allclose(model._estimate_weighted_log_prob(iris), log_prob)
    with pytest.raises(ValueError, match=r"weights_ must have shape \(k,\), got \(150, 3\)"):
        model.predict(iris)


# ---- whose class it is --------------------------------------------------------------------------------------


def test_it_is_one_of_scikit_learns_for_those_who_ask(iris):
    ours = GaussianMixture(2, random_state=0).fit(iris)
    for copy in (ours, clone(ours), pickle.loads(pickle.dumps(ours))):
        assert isinstance(copy, theirs.GaussianMixture)
        assert type(copy) is GaussianMixture
    assert issubclass(GaussianMixture, theirs.GaussianMixture)
    assert not isinstance(ours, theirs.BayesianGaussianMixture)
    assert not isinstance(jaxgmm.GaussianMixtureOutlierDetector(), theirs.GaussianMixture)
    assert not issubclass(theirs.GaussianMixture, GaussianMixture)
    assert not isinstance(theirs.GaussianMixture(), GaussianMixture)


def test_it_has_all_that_scikit_learns_has(iris):
    """What one may rely on who has asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours, wanted = (Kind(2, max_iter=2).fit(iris) for Kind in (GaussianMixture, theirs.GaussianMixture))
    assert {name for name in dir(wanted) if not name.startswith("__")} - set(dir(ours)) == {"_abc_impl"}


def test_a_copy_is_made_of_ours_as_of_scikit_learns(iris):
    ours = GaussianMixture(2, random_state=0, prior="default").fit(iris)
    copy = GaussianMixture.from_sklearn(ours)
    assert copy is not ours
    assert copy.get_params() == ours.get_params()
    copy.means_[:] = 0
    assert ours.means_.all()
    assert type(ours.to_sklearn()) is theirs.GaussianMixture


def test_scikit_learns_own_class_is_as_it_was():
    code = (
        "from sklearn.mixture import GaussianMixture as G; import sklearn.mixture; "
        "before = {name: id(value) for name, value in vars(G).items()}, G.__mro__, G.__subclasses__(); "
        "import jaxgmm.sklearn; "
        "after = {name: id(value) for name, value in vars(G).items()}, G.__mro__, G.__subclasses__(); "
        "assert before == after; assert sklearn.mixture.GaussianMixture is G"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ours_in_the_place_of_scikit_learns_leads_nowhere_round(monkeypatch, iris):
    """Programs that swap the class for their whole process."""
    monkeypatch.setattr(theirs, "GaussianMixture", GaussianMixture)
    model = GaussianMixture(2, random_state=0).fit(iris)
    model._m_step(iris, model._e_step(iris)[1])
    assert type(model.to_sklearn()) is not GaussianMixture
