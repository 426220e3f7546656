"""The real converter on a small model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_export.graphs.npu import FORMS
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from helpers.arrays import Weights

NEEDS_CONVERTER = pytest.mark.skipif(
    ENVIRONMENT.unsupported_reason() is not None, reason=f"{ENVIRONMENT.unsupported_reason()}"
)


def convert(
    model: tuple[rt.ModelSpec, Weights],
    *,
    scheme: str = "fp16",
    form: str = "cell",
    graph: bytes | None = None,
    **options: Any,
) -> Converter:
    spec, weights = model
    sizes = {"x": spec.feature_size, **spec.network.state}
    calibration = {name: np.zeros((4, size), np.float32) for name, size in sizes.items()}
    made = FORMS[form](spec, weights, calibration)
    onnx = graph or made.graph.SerializeToString()
    conversion = Conversion(spec, onnx, made.recipe, "rk3588", scheme, calibration)
    return Converter(conversion, **options)
