"""How a layer type is exported. A type has a file here only if ONNX has an operator for it.

The cell of any type becomes a graph by itself: `graphs.bundle.cells` runs the layer's own `cell` on
symbols.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.registry import Registry

ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}  # ONNX's names
Weights = Mapping[str, NDArray[np.float32]]  # a layer's own, canonical


@dataclasses.dataclass(frozen=True)
class Operator:
    """A recurrent operator of ONNX.

    name        "LSTM", "GRU", "RNN"
    gates       blocks of rows in W and R
    arrays      a layer and its weights of one direction -> W (gates H, inputs), R (gates H, H),
                B (2 gates H)
    attributes  of a layer and a number of directions, beside hidden_size and direction
    on_npu      True if the RKNN converter keeps it on the NPU, on targets that have the operator
    y_consumed  True if Y must be read by something, even over one step. If False, it must not be
                read over one step
    """

    name: str
    gates: int
    arrays: Callable[[Layer, Weights], tuple[NDArray[np.float32], ...]]
    attributes: Callable[[Layer, int], dict[str, Any]] = lambda *_: {}
    y_consumed: bool = False
    on_npu: bool = True


OPERATORS = Registry(__name__, "edge_lstm.operators", "layer type", "OPERATOR")


def operator_of(layer: Layer) -> Operator | None:
    """None if ONNX has no operator for layers of this type."""
    return OPERATORS.load(layer.type).OPERATOR if layer.type in OPERATORS else None
