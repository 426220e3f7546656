"""A layer's cell in float64 over a stream, with the values inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.layers import Layer, Product
from edge_lstm_runtime.layers.ops import Recorder

Float64 = NDArray[np.float64]


def products(weights: Mapping[str, Any]) -> Product:
    """Of a layer's own weights, NumPy or torch, as a cell takes them."""

    def product(name: str, v: Any) -> Any:
        return v @ weights[name]

    return product


def recorded(
    layer: Layer, weights: Mapping[str, Float64], xs: Float64
) -> tuple[Float64, dict[str, Float64], dict[str, Float64]]:
    """xs (T, inputs), weights: the layer's own -> outputs (T, n), the values that the cell keeps
    (`Ops.keep`) and the states after each step, (T, size) each, by name. The rows are the first of
    a stream.
    """
    product = products(weights)
    state = layer.initial_state(xs.shape[1], np.float64)
    outputs = []
    kept = []
    states = []
    for x in xs:
        recorder = Recorder()
        y, state = layer.cell(recorder, product, weights, x, state)
        outputs.append(y)
        kept.append(recorder.found)
        states.append(state)
    return np.stack(outputs), _by_name(kept), _by_name(states)


def _by_name(rows: list[dict[str, Float64]]) -> dict[str, Float64]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
