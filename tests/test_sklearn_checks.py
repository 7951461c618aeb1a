"""scikit-learn's checks of estimators: every one passes, none is expected to fail."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from jaxgmm import GaussianMixture

# Small and quick ones that stand for the rest; all of them are run with the slow tests.
_QUICK = (
    "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_estimator_cloneable",
    "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr", "check_mixin_order",
    "check_get_params_invariance", "check_set_params", "check_estimators_unfitted", "check_do_not_raise_errors_in_init",
    "check_n_features_in_after_fitting", "check_positive_only_tag_during_fit", "check_estimators_nan_inf",
    "check_sample_weights_shape", "check_estimators_dtypes", "check_complex_data", "check_estimator_sparse_tag",
)  # fmt: skip


def _name(check) -> str:
    return getattr(check, "func", check).__name__


quick = [
    pytest.param(estimator, check, id=_name(check))
    for estimator, check in estimator_checks_generator(GaussianMixture(max_iter=2), mark="skip")
    if _name(check) in _QUICK
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("estimator", "check"), quick)
def test_quick_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@parametrize_with_checks([GaussianMixture(), GaussianMixture(n_components=2, covariance_type="diag", random_state=0)])
def test_all_checks(estimator, check):
    check(estimator)
