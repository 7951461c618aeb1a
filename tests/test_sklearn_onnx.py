"""Mixtures in ONNX: what onnxruntime answers is what the estimator answers."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings

import numpy as np
import pytest
from create import GAUSSIANS
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxgmm import GaussianMixture

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def answers(model, x: np.ndarray, **options) -> dict[str, np.ndarray]:
    written = skl2onnx.to_onnx(model, x[:1], **options).SerializeToString()
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: x}), strict=True))


@pytest.fixture(scope="module", params=GAUSSIANS)
def fitted(request, iris) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(3, covariance_type=request.param, random_state=0, max_iter=20).fit(iris)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-4), (np.float64, 1e-11)])
def test_labels_and_probabilities_are_those_of_the_estimator(fitted, iris, dtype, digits):
    x = iris.astype(dtype)
    got = answers(fitted, x)
    assert list(got) == ["label", "probabilities"]
    np.testing.assert_array_equal(got["label"].ravel(), fitted.predict(iris))
    np.testing.assert_allclose(got["probabilities"], fitted.predict_proba(iris), atol=digits)
    for name, wanted in answers(fitted.to_sklearn(), x).items():
        np.testing.assert_array_equal(got[name], wanted)
        assert got[name].dtype == wanted.dtype


def test_log_densities_are_there_on_demand(fitted, iris):
    x = iris.astype(np.float32)
    asked = {"score_samples": True}
    for options in ({id(fitted): asked}, {GaussianMixture: asked}, asked):
        before = copy.copy(options)
        got = answers(fitted, x, options=options)
        np.testing.assert_allclose(got["score_samples"].ravel(), fitted.score_samples(iris), rtol=1e-4, atol=1e-4)
        assert options == before
    with pytest.raises(NameError, match="not in"):
        answers(fitted, x, options={id(fitted): {"raw_scores": True}})


def test_a_pipeline_is_converted_with_its_mixture(iris):
    x = iris.astype(np.float32)
    pipe = make_pipeline(StandardScaler(), GaussianMixture(3, reg_covar="auto", random_state=0)).fit(x)
    got = answers(pipe, x)
    np.testing.assert_array_equal(got["label"].ravel(), pipe.predict(x))
    np.testing.assert_allclose(got["probabilities"], pipe.predict_proba(x), atol=1e-3)


def test_a_mixture_without_a_fit_and_an_empty_component():
    model = GaussianMixture.from_parameters(
        [1.0, 0.0], [[0.0, 0.0], [9.0, 9.0]], [1.0, 1.0], covariance_type="spherical"
    )
    x = np.zeros((3, 2), np.float32)
    np.testing.assert_array_equal(answers(model, x)["probabilities"], [[1, 0]] * 3)
    with pytest.raises(NotFittedError):
        skl2onnx.to_onnx(GaussianMixture(2), x)


@pytest.mark.parametrize("first", ["skl2onnx", "jaxgmm"])
def test_either_may_be_imported_first_and_neither_imports_the_other(first):
    second = {"skl2onnx": "jaxgmm", "jaxgmm": "skl2onnx"}[first]
    code = (
        f"import sys, {first}; assert '{second}' not in sys.modules; import {second}, jaxgmm.sklearn, numpy as np; "
        "model = jaxgmm.GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]]); "
        "print(len(skl2onnx.to_onnx(model, np.zeros((1, 1), np.float32)).graph.output))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"
