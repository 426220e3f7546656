"""Random networks of every layer type that the kernel has, several sources each, against the
reference, in every kernel and in streams.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import ModelSpec, Reference, native
from edge_lstm_runtime.backends.native import NativeBackend
from helpers.plain_layers import spec_of
from helpers.specs import feature_rows
from helpers.weights import normal_weights

KERNELS = native.kernels() if native.LIBRARY.exists() else ()
pytestmark = pytest.mark.skipif(not KERNELS, reason=f"{native.LIBRARY.name} is not built")
ACTIVATIONS = ("none", "tanh", "relu", "sigmoid")
STREAMS = 3
# A product of layers doubles a relative error, and a chain of them does it again.
LIMIT = 1e-5


def a_layer(
    rng: np.random.Generator, kind: str, sizes: dict[str, int], name: str
) -> dict[str, Any]:
    """One that fits to some of the layers before it. sizes: theirs, by name."""
    names = list(sizes)
    count = int(rng.integers(1, 5))
    inputs = [str(n) for n in rng.choice(names, count)]
    layer: dict[str, Any] = {"type": kind, "name": name, "inputs": inputs}
    units = int(rng.integers(1, 9))
    if kind in ("dense", "lstm", "gru", "rnn", "causal-conv"):
        layer["units"] = units
    if kind in ("dense", "scale", "causal-conv"):
        layer["activation"] = str(rng.choice(ACTIVATIONS))
    if kind == "gru":
        layer["linear_before_reset"] = bool(rng.integers(2))
    elif kind == "rnn":
        layer["activation"] = str(rng.choice(("tanh", "relu")))
    elif kind == "causal-conv":
        layer |= {"kernel": int(rng.integers(2, 5)), "dilation": int(rng.integers(1, 5))}
    elif kind == "layer-norm":
        layer["epsilon"] = float(rng.choice([1e-3, 0.1, 1.0]))
    elif kind == "combine":
        layer["operation"] = str(rng.choice(("add", "mul", "concat")))
        if layer["operation"] != "concat":
            of_size = [n for n in names if sizes[n] == sizes[inputs[0]]]
            layer["inputs"] = [str(n) for n in rng.choice(of_size, count)]
    elif kind == "embedding":
        single = [n for n in names if sizes[n] == 1]
        layer |= {"inputs": single[-1:], "count": int(rng.integers(1, 6)), "units": units}
    return layer


def a_network(seed: int) -> ModelSpec:
    rng = np.random.default_rng(seed)
    features = int(rng.integers(1, 6))
    kinds = list(native.layer_types())
    layers: list[dict[str, Any]] = []
    spec = None
    for k in range(int(rng.integers(2, 12))):
        sizes = {"x": features}
        if spec:
            sizes |= {n: outputs for n, (_, outputs) in spec.network.sizes.items()}
        kind = str(rng.choice(kinds))
        if kind == "embedding" and 1 not in sizes.values():
            kind = "dense"
        layers.append(a_layer(rng, kind, sizes, f"l{k}"))
        spec = spec_of(features, *layers)
    assert spec
    begin = []
    for layer in spec.network.layers:
        states = layer.state(spec.network.sizes[layer.name][0]).values()
        begin.append([rng.normal(size=size).round(2).tolist() for size in states])
    chosen = [
        {**layer, "initial": states} if states and rng.integers(2) else layer
        for layer, states in zip(layers, begin, strict=True)
    ]
    return spec_of(features, *chosen)


def test_every_type_is_among_them() -> None:
    found = {layer.type for seed in range(60) for layer in a_network(seed).network.layers}
    assert found == set(native.layer_types()) >= {"lstm", "causal-conv", "embedding", "combine"}


@pytest.mark.parametrize("seed", range(60))
def test_a_network(seed: int) -> None:
    spec = a_network(seed)
    weights = normal_weights(spec, seed)
    if seed % 2:  # so that weights in float16 are these
        weights = {name: w.astype(np.float16).astype(np.float32) for name, w in weights.items()}
    rows = np.stack([feature_rows(spec, 40, seed=s) for s in range(STREAMS)], axis=1)
    references = [Reference(spec, weights) for _ in range(STREAMS)]
    expected = np.stack([r.run(rows[:, s]) for s, r in enumerate(references)], axis=1)
    limit = LIMIT * max(1.0, float(np.abs(expected).max()))
    for kernel in KERNELS:
        backend = NativeBackend(spec, weights, streams=STREAMS, kernel=kernel)
        found = backend.run(rows)
        assert np.abs(found - expected).max() <= limit, kernel
        for name, values in backend.state.items():
            for s, reference in enumerate(references):
                exact = reference.state[name]
                bound = LIMIT * max(1.0, float(np.abs(exact).max(initial=0)))
                assert np.abs(values[s] - exact).max() <= bound, f"{kernel} {name}"
        alone = NativeBackend(spec, weights, "float16" if seed % 2 else "float32", kernel=kernel)
        assert np.abs(alone.run(rows[:, 0]) - expected[:, 0]).max() <= limit, kernel
