"""Weights that no training made."""

from __future__ import annotations

import numpy as np

import edge_lstm_runtime as rt
from helpers.arrays import Array, Weights
from helpers.specs import plain_spec


def random_weights(spec: rt.ModelSpec, seed: int = 0) -> Weights:
    """Uniform in +-1/sqrt(H), as PyTorch starts; the forget gate open, so that the cell remembers for long."""
    rng = np.random.default_rng(seed)
    bound = 1.0 / np.sqrt(max(spec.hidden_size, 4))
    weights = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in spec.weight_shapes().items()}
    for name in weights:
        if name.startswith("layer") and name.endswith(".b"):
            weights[name][spec.hidden_size : 2 * spec.hidden_size] += 1
    return weights


def int8_arrays(spec: rt.ModelSpec) -> dict[str, Array]:
    """Of int8.npz, see docs/bundle.md."""
    rng = np.random.default_rng(4)
    arrays: dict[str, Array] = {}
    for k in range(spec.num_layers):
        for part in "xh":
            shape = spec.weight_shapes()[f"layer{k}.W_{part}"]
            arrays[f"layer{k}.W_{part}"] = rng.integers(-127, 128, shape, np.int8)
            arrays[f"layer{k}.step_{part}"] = rng.uniform(1e-4, 1e-3, shape[1]).astype(np.float32)
        arrays[f"layer{k}.b"] = np.ones(4 * spec.hidden_size, np.float32)
    return arrays


def normal_weights(spec: rt.ModelSpec, seed: int | np.random.Generator = 0) -> Weights:
    """Normal, a product as large as what it multiplies, the biases 0.2: a net whose gates move far, with tails for what rounds to int8."""
    rng = np.random.default_rng(seed)
    scales = {name: np.sqrt(shape[0]) if len(shape) == 2 else 5.0 for name, shape in spec.weight_shapes().items()}
    return {name: (rng.normal(size=shape) / scales[name]).astype(np.float32) for name, shape in spec.weight_shapes().items()}


def random_model(
    layers: int, hidden: int, *, channels: int = 6, outputs: int = 4, seed: int = 0, bidirectional: bool = False
) -> tuple[rt.ModelSpec, Weights]:
    """A classifier whose features are its samples, and weights for it."""
    spec = plain_spec(layers, hidden, channels=channels, outputs=outputs, bidirectional=bidirectional)
    return spec, normal_weights(spec, seed)
