"""A random network of the C kernel from Python, and its equations in NumPy, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec, Reference, native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.specs import feature_rows
from helpers.tolerances import assert_close

Array = NDArray[Any]
# A layer's weights, its input, its state -> its output and its new state, all float64.
Equations = Callable[[Sequence[Array], Array, Array], tuple[Array, Array]]
# A layer -> groups of columns in W_x, W_h and W_n, as many of these as it has, and groups of b.
Shapes = Callable[[CLayer], tuple[tuple[int, ...], int]]
# float32 rounds at 6e-8. Sums of some hundred terms are carried through a contracting recurrence.
FLOAT_LIMIT = 2e-6


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def input_size(network: CNetwork, layer: CLayer) -> int:
    return sum(
        network.layers[source - 1].units if source else network.inputs for source in layer.sources
    )


def random_weights(
    network: CNetwork, shapes: Mapping[str, Shapes], seed: int = 0
) -> list[list[Array]]:
    """For each layer its matrices and b, float32. shapes: of each type."""
    rng = np.random.default_rng(seed)
    found = []
    for layer in network.layers:
        columns, biases = shapes[layer.type](layer)
        rows = (input_size(network, layer), layer.units, layer.units)
        sizes = [(n, k * layer.units) for n, k in zip(rows, columns, strict=False)]
        bound = 1 / np.sqrt(max(4, layer.units))
        found.append(
            [
                rng.uniform(-bound, bound, size).astype(np.float32)
                for size in (*sizes, (biases * layer.units,))
            ]
        )
    return found


class Kernel:
    """A model and a state in the library."""

    def __init__(
        self,
        network: CNetwork,
        weights: list[list[Array]],
        precision: str = "float32",
        *,
        streams: int = 1,
        kernel: str | None = None,
    ):
        flat = np.concatenate([array.ravel() for layer in weights for array in layer])
        self.outputs = network.layers[-1].units
        self.streams = streams
        self.net = native.make_net(network, flat, precision, kernel, streams=streams)

    def run(self, x: Array) -> Array:
        """(steps, streams, inputs) -> (steps, streams, outputs)"""
        y = np.empty((len(x), self.streams, self.outputs), np.float32)
        self.net.run(np.ascontiguousarray(x, np.float32), y)
        return y

    @property
    def state(self) -> Array:
        """(streams, values)"""
        _, count = self.net.sizes()
        values = np.empty((self.streams, count), np.float32)
        self.net.get_state(native.ALL, values)
        return values


def run_in_numpy(
    network: CNetwork, weights: list[list[Array]], equations: Mapping[str, Any], x: Array
) -> tuple[Array, Array]:
    """x (steps, inputs) -> y (steps, outputs) and the state after it (values,).

    equations: for each type, a function of the layer that gives its Equations and the number of its
    states.
    """
    made = [equations[layer.type](layer) for layer in network.layers]
    states = [
        np.zeros((count, layer.units))
        for (_, count), layer in zip(made, network.layers, strict=True)
    ]
    double = [[array.astype(np.float64) for array in layer] for layer in weights]
    y = []
    for row in x.astype(np.float64):
        outputs = [row]
        for k, layer in enumerate(network.layers):
            together = np.concatenate([outputs[source] for source in layer.sources])
            output, states[k] = made[k][0](double[k], together, states[k])
            outputs.append(output)
        y.append(outputs[-1])
    return np.stack(y), np.concatenate([state.ravel() for state in states])


def _lstm(weights: Sequence[Array], x: Array, state: Array) -> tuple[Array, Array]:
    W_x, W_h, b = weights
    i, f, g, o = np.split(x @ W_x + state[0] @ W_h + b, 4)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, np.stack([h, c])


ACTIVATIONS: tuple[Callable[[Array], Array], ...] = (
    lambda a: a,
    np.tanh,
    lambda a: np.maximum(a, 0),
    sigmoid,
)


def _dense(activation: Callable[[Array], Array]) -> Equations:
    def step(weights: Sequence[Array], x: Array, state: Array) -> tuple[Array, Array]:
        return activation(x @ weights[0] + weights[1]), state

    return step


class Types(NamedTuple):
    """Layer types by name: the shapes of their weights, and their equations as `run_in_numpy` takes
    them."""

    shapes: Mapping[str, Shapes]
    equations: Mapping[str, Any]

    def with_type(self, name: str, shapes: Shapes, equations: Any) -> Types:
        return Types({**self.shapes, name: shapes}, {**self.equations, name: equations})


TYPES = Types(
    {"lstm": lambda _: ((4, 4), 4), "dense": lambda _: ((1,), 1)},
    {
        "lstm": lambda _: (_lstm, 2),
        "dense": lambda layer: (_dense(ACTIVATIONS[layer.option]), 0),
    },
)


def check_float32(
    network: CNetwork, types: Types, *, streams: int, kernel: str, steps: int = 1000
) -> None:
    """The kernel's outputs and states over the steps are the equations'."""
    weights = random_weights(network, types.shapes)
    _check(network, types, weights, Kernel(network, weights, streams=streams, kernel=kernel), steps)


def check_float16(
    network: CNetwork, types: Types, *, streams: int, kernel: str, steps: int = 1000
) -> None:
    """As `check_float32`, with the equations' matrices rounded by NumPy."""
    weights = random_weights(network, types.shapes)
    found = Kernel(network, weights, "float16", streams=streams, kernel=kernel)
    _check(network, types, in_half(weights), found, steps)


def in_half(weights: list[list[Array]]) -> list[list[Array]]:
    """The weights with matrices of float16 and biases as they are."""
    return [
        [array.astype(np.float16) if array.ndim == 2 else array for array in layer]
        for layer in weights
    ]


def _check(
    network: CNetwork, types: Types, weights: list[list[Array]], found: Kernel, steps: int
) -> None:
    streams = found.streams
    x = np.random.default_rng(1).normal(size=(steps, streams, network.inputs)).astype(np.float32)
    y = found.run(x)
    for s in range(streams):
        expected, state = run_in_numpy(network, weights, types.equations, x[:, s])
        assert np.abs(y[:, s] - expected).max() <= FLOAT_LIMIT
        assert np.abs(found.state[s] - state).max() <= FLOAT_LIMIT


def check_int8(network: CNetwork, types: Types, *, kernel: str) -> None:
    """Weights in int8 answer nearly as the equations do."""
    weights = random_weights(network, types.shapes)
    x = np.random.default_rng(1).normal(size=(300, 1, network.inputs)).astype(np.float32)
    expected, _ = run_in_numpy(network, weights, types.equations, x[:, 0])
    y = Kernel(network, weights, "int8", kernel=kernel).run(x)[:, 0]
    assert np.sqrt(np.mean((y - expected) ** 2)) / expected.std() < 0.05


def check_model(spec: ModelSpec, weights: Mapping[str, Array], *, kernel: str) -> None:
    """The backend of a `one_layer_spec` is the reference, in outputs and state."""
    x = feature_rows(spec, 200)
    backend = NativeBackend(spec, weights, kernel=kernel)
    reference = Reference(spec, weights)
    assert_close(backend.run(x), reference.run(x), "float32", "y")
    assert_close(backend.state["r0.h"], reference.state["r0.h"], "float32", "h")
