"""The peers of one streamed LSTM step, called from Python.

There is a module for each library. All of them have the same weights.

A peer is a function (spec, weights) -> {way: step}, for one layer, batch 1 and one thread. step(x)
takes (F,) float32, carries the state itself, and returns (O,) float32, perhaps in a buffer that the
next step overwrites. If a library has several ways to run a step, the peer gives the usual one and
each that was the fastest somewhere. The benchmark takes the fastest.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

import numpy as np
from nets import classifier
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec

Float32 = NDArray[np.float32]
Weights = Mapping[str, Float32]
Steps = dict[str, Callable[[Float32], Float32]]

PEERS = {  # name: module and function here
    "native": "native:float32",
    "native int8": "native:int8",
    "numpy": "numpy:make",
    "onnxruntime": "onnx:float32",
    "onnxruntime int8": "onnx:int8",
    "litert": "litert:make",
    "ncnn": "ncnn:make",
    "openvino": "openvino:make",
    "torch": "pytorch:eager",
    "torch.jit": "pytorch:jit",
}


def make(name: str, spec: ModelSpec, weights: Weights) -> Steps:
    """The steps of one peer, in the zero state. Raises ImportError if its library is missing."""
    module, function = PEERS[name].split(":")
    peer: Callable[[ModelSpec, Weights], Steps] = getattr(
        importlib.import_module(f"{__name__}.{module}"), function
    )
    return peer(spec, weights)


def network(hidden: int, layers: int, inputs: int) -> tuple[ModelSpec, dict[str, Float32]]:
    """A net of 4 outputs with random weights, as large as those that PyTorch starts from."""
    spec = classifier(inputs, hidden, layers, 4)
    rng = np.random.default_rng(0)
    bound = hidden**-0.5
    return spec, {
        name: rng.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in spec.network.weights.items()
    }
