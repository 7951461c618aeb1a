"""Conversion to ONNX: skl2onnx has a converter for scikit-learn's estimator, which serves for this one as it is."""

from __future__ import annotations

from typing import Any

_ALIAS = "JaxgmmGaussianMixture"


def parser_of(estimator: Any) -> Any:
    """The function by which skl2onnx learns the outputs of `estimator`, whose class it then knows as well.

    skl2onnx asks estimators for it, so nothing of the kind is loaded before someone converts one.
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common.data_types import Int64TensorType, guess_tensor_type
    from skl2onnx.operator_converters.gaussian_mixture import convert_sklearn_gaussian_mixture as converter
    from skl2onnx.shape_calculators.mixture import calculate_gaussian_mixture_output_shapes as shapes

    # Without an entry in its table it refuses options.
    update_registered_converter(type(estimator), _ALIAS, shapes, converter, options={"score_samples": [True, False]})

    def parser(scope: Any, inputs: Any) -> list[Any]:
        # skl2onnx named the operator before the class was in its table.
        scope.replace_raw_operator(estimator, estimator, _ALIAS)
        numbers = guess_tensor_type(inputs[0].type)
        outputs = {"label": Int64TensorType(), "probabilities": numbers}
        if scope.get_options(estimator, {"score_samples": False})["score_samples"]:
            outputs["score_samples"] = numbers
        return [scope.declare_local_variable(name, kind) for name, kind in outputs.items()]

    return parser
