"""The ONNX RNN operator. B holds two biases: the sum goes into the first, zeros into the second."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.rnn import Rnn

from . import ACTIVATIONS, Operator, Weights


def _arrays(layer: Layer, weights: Weights) -> tuple[NDArray[np.float32], ...]:  # noqa: ARG001
    b = weights["b"]
    return weights["W_x"].T, weights["W_h"].T, np.concatenate([b, np.zeros_like(b)])


def _attributes(layer: Layer, directions: int) -> dict[str, Any]:
    return {"activations": directions * [ACTIVATIONS[cast(Rnn, layer).activation]]}


# The RKNN converter puts it on the CPU, with an error line, or crashes (SIGSEGV).
OPERATOR = Operator("RNN", 1, _arrays, _attributes, on_npu=False)
