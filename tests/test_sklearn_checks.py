"""scikit-learn's checks of estimators: every one passes but what has a reason written beside it."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from jaxgmm import GaussianMixture

# Those that compile little; all of them are run with the slow tests.
_QUICK = {
    "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_estimator_cloneable",
    "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr", "check_mixin_order",
    "check_get_params_invariance", "check_set_params", "check_estimators_unfitted", "check_estimators_nan_inf",
    "check_do_not_raise_errors_in_init_or_set_params", "check_sample_weights_shape", "check_complex_data",
    "check_estimator_sparse_tag", "check_all_zero_sample_weights_error", "check_estimators_empty_data_messages",
    "check_fit2d_1sample", "check_fit1d", "check_dict_unchanged", "check_readonly_memmap_input",
}  # fmt: skip


def expected_failures(estimator) -> dict[str, str]:
    if estimator.n_components == 1:
        return {}
    return {
        "check_sample_weight_equivalence_on_dense_data": (
            "k-means draws its first centres by row number, and a repeated row has several, as in scikit-learn's KMeans; "
            "from given parameters a weight is so many rows (test_sklearn_ecosystem.py)"
        )
    }


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
@parametrize_with_checks(
    [GaussianMixture(), GaussianMixture(n_components=2, covariance_type="diag", random_state=0)],
    expected_failed_checks=expected_failures,
)
def test_all_checks(estimator, check):
    check(estimator)
