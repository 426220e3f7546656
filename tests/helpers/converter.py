"""The real converter on a small model."""

from __future__ import annotations

from typing import Any

import numpy as np

import edge_lstm_runtime as rt
from edge_lstm_export.graphs.npu import FORMS
from edge_lstm_export.npu.rknn.process import Converter
from helpers.arrays import Weights


def convert(
    model: tuple[rt.ModelSpec, Weights], *, scheme: str = "fp16", form: str = "cell", graph: bytes | None = None, **options: Any
) -> Converter:
    spec, weights = model
    samples = {"x": np.zeros((4, spec.feature_size)), "h": np.zeros((4, 1, spec.hidden_size)), "c": np.zeros((4, 1, spec.hidden_size))}
    calibration = {name: array.astype(np.float32) for name, array in samples.items()}
    made = FORMS[form](spec, weights, calibration)
    return Converter(spec, graph or made.graph.SerializeToString(), made.recipe, "rk3588", scheme, calibration, **options)
