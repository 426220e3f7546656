"""Networks for the benchmarks: so many layers of one type, and a head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.layers.lstm import GATES
from edge_lstm_runtime.model.network import Network, network_from
from edge_lstm_runtime.tasks.classify import Classify

Float32 = NDArray[np.float32]


def chain(features: int, units: int, layers: int, outputs: int, kind: str = "lstm") -> Network:
    """Layers "lstm0", "lstm1" and so on, and "head". kind: a layer type of the runtime."""
    names = [f"{kind}{k}" for k in range(layers)]
    inner = [
        {"type": kind, "name": name, "inputs": [before], "units": units}
        for name, before in zip(names, [FEATURES, *names], strict=False)
    ]
    head = {"type": "dense", "name": "head", "inputs": [names[-1]], "units": outputs}
    return network_from(features, [*inner, head])


def plain_inputs(names: tuple[str, ...]) -> Channels:
    """Channels that are the features as they are."""
    return Channels(names, (0.0,) * len(names), (1.0,) * len(names))


def classifier(inputs: int, units: int, layers: int, outputs: int) -> ModelSpec:
    """An LSTM whose features are its samples."""
    names = tuple(f"ch{k}" for k in range(inputs))
    classes = tuple(f"class{k}" for k in range(outputs))
    network = chain(inputs, units, layers, outputs)
    return ModelSpec(plain_inputs(names), network, Classify(classes))


def hidden_size(spec: ModelSpec) -> int:
    """The units of the first layer."""
    _, units = spec.network.sizes[spec.network.layers[0].name]
    return units


def gate(array: Float32, name: str) -> Float32:
    """The columns of one gate, (..., H), of an LSTM's array (..., 4 H)."""
    return np.split(array, len(GATES), axis=-1)[GATES.index(name)]


def reorder(array: Float32, order: str) -> Float32:
    """(..., 4 H) with the gates in another order, such as "iofg"."""
    return np.concatenate([gate(array, name) for name in order], axis=-1)
