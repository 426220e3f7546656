"""Weights that no training made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import edge_lstm_runtime as rt
from helpers.arrays import Array, Weights
from helpers.specs import hidden_size, lstm_names, plain_spec

if TYPE_CHECKING:
    import torch


def random_weights(spec: rt.ModelSpec, seed: int = 0) -> Weights:
    """Uniform in +-1/sqrt(H), as PyTorch starts, the forget gate open so that c lasts for long."""
    rng = np.random.default_rng(seed)
    hidden = hidden_size(spec)
    bound = 1.0 / np.sqrt(max(hidden, 4))
    weights = {
        name: rng.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in spec.network.weights.items()
    }
    for name in weights:
        if name.startswith("lstm") and name.endswith(".b"):
            weights[name][hidden : 2 * hidden] += 1
    return weights


def counting_weights(spec: rt.ModelSpec) -> Weights:
    """Of `one_layer_spec("lstm")`. Two units count up to about 50."""
    weights = random_weights(spec)
    gates = weights["r0.b"].reshape(4, 13)  # i, f, g, o
    gates[:3, :2] = [[4.0], [4.0], [2.0]]
    return weights


def from_torch(lstm: torch.nn.LSTM, head: torch.nn.Linear) -> Weights:
    """Canonical weights of a net in PyTorch, as its documentation says how they stand there: the
    gates in the order i, f, g, o, an output in each row, two biases that are only ever summed."""
    arrays = {name: tensor.numpy() for name, tensor in lstm.state_dict().items()}
    found = {}
    for k in range(lstm.num_layers):
        for suffix, prefix in (("", ""), ("_reverse", "reverse."))[: 1 + lstm.bidirectional]:
            ours = f"lstm{k}.{prefix}"
            theirs = f"l{k}{suffix}"
            found[f"{ours}W_x"] = arrays[f"weight_ih_{theirs}"].T
            found[f"{ours}W_h"] = arrays[f"weight_hh_{theirs}"].T
            found[f"{ours}b"] = arrays[f"bias_ih_{theirs}"] + arrays[f"bias_hh_{theirs}"]
    found |= {"head.W": head.weight.detach().numpy().T, "head.b": head.bias.detach().numpy()}
    return {name: array.astype(np.float32) for name, array in found.items()}


def int8_arrays(spec: rt.ModelSpec) -> dict[str, Array]:
    """Of int8.npz, see docs/bundle.md."""
    rng = np.random.default_rng(4)
    arrays: dict[str, Array] = {}
    for layer in lstm_names(spec):
        for name in (f"{layer}.W_x", f"{layer}.W_h"):
            shape = spec.network.weights[name]
            arrays[name] = rng.integers(-127, 128, shape, np.int8)
            arrays[f"{name}.step"] = rng.uniform(1e-4, 1e-3, shape[1]).astype(np.float32)
        arrays[f"{layer}.b"] = np.ones(4 * hidden_size(spec), np.float32)
    return arrays


def normal_weights(spec: rt.ModelSpec, seed: int | np.random.Generator = 0) -> Weights:
    """Normal, a product as large as what it multiplies, the biases 0.2: a net whose gates move far,
    with tails for what rounds to int8."""
    rng = np.random.default_rng(seed)
    scales = {
        name: np.sqrt(shape[0]) if len(shape) == 2 else 5.0
        for name, shape in spec.network.weights.items()
    }
    return {
        name: (rng.normal(size=shape) / scales[name]).astype(np.float32)
        for name, shape in spec.network.weights.items()
    }


def random_model(
    layers: int,
    hidden: int,
    *,
    channels: int = 6,
    outputs: int = 4,
    seed: int = 0,
    bidirectional: bool = False,
) -> tuple[rt.ModelSpec, Weights]:
    """A classifier whose features are its samples, and weights for it."""
    spec = plain_spec(
        layers, hidden, channels=channels, outputs=outputs, bidirectional=bidirectional
    )
    return spec, normal_weights(spec, seed)
