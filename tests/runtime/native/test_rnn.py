"""RNN layers on every kernel of this CPU: against the equations in float64 and PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BackendError, native
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_layers import (
    ACTIVATIONS,
    FLOAT_LIMIT,
    TYPES,
    Array,
    Kernel,
    check_float16,
    check_float32,
    check_int8,
    check_model,
    random_weights,
)
from helpers.specs import one_layer_spec

KERNELS = native.kernels() if native.LIBRARY.exists() else ()
pytestmark = [
    pytest.mark.skipif(not KERNELS, reason=f"{native.LIBRARY.name} is not built"),
    pytest.mark.parametrize("kernel", KERNELS),
]
TANH = 1
RELU = 2


def rnn(layer: CLayer) -> Any:
    def step(weights: Sequence[Array], x: Array, state: Array) -> tuple[Array, Array]:
        W_x, W_h, b = weights
        h = ACTIVATIONS[layer.option](x @ W_x + state[0] @ W_h + b)
        return h, h[None]

    return step, 1


WITH_RNN = TYPES.with_type("rnn", lambda _: ((1, 1), 1), rnn)
NETWORKS = {
    "tanh": CNetwork(5, (CLayer("rnn", 21, (0,), TANH), CLayer("dense", 3, (1,)))),
    "relu": CNetwork(5, (CLayer("rnn", 40, (0,), RELU), CLayer("dense", 3, (1,)))),
    "mixed": CNetwork(
        3,
        (
            CLayer("rnn", 9, (0,), RELU),
            CLayer("lstm", 7, (1, 0)),
            CLayer("rnn", 33, (2, 1), TANH),
        ),
    ),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


@every_network
@pytest.mark.parametrize("streams", [1, 6])
def test_float32_over_1000_steps(network: CNetwork, streams: int, kernel: str) -> None:
    check_float32(network, WITH_RNN, streams=streams, kernel=kernel)


@every_network
def test_float16_over_1000_steps(network: CNetwork, kernel: str) -> None:
    check_float16(network, WITH_RNN, streams=3, kernel=kernel)


@every_network
def test_int8_is_near_float32(network: CNetwork, kernel: str) -> None:
    check_int8(network, WITH_RNN, kernel=kernel)


@pytest.mark.parametrize("option", [TANH, RELU], ids=["tanh", "relu"])
def test_against_pytorch(option: int, kernel: str) -> None:
    import torch

    network = CNetwork(4, (CLayer("rnn", 24, (0,), option), CLayer("rnn", 24, (1,), option)))
    weights = random_weights(network, WITH_RNN.shapes)
    name = "tanh" if option == TANH else "relu"
    found = torch.nn.RNN(4, 24, 2, nonlinearity=name, dtype=torch.float64)
    x = np.random.default_rng(2).normal(size=(1000, 1, 4)).astype(np.float32)
    with torch.no_grad():
        for k, (W_x, W_h, b) in enumerate(weights):
            values = {"weight_ih": W_x.T, "weight_hh": W_h.T, "bias_ih": b, "bias_hh": 0 * b}
            for name, value in values.items():
                getattr(found, f"{name}_l{k}").copy_(torch.from_numpy(value.astype(np.float64)))
        expected, state = found(torch.from_numpy(x[:, 0]).double())
    ours = Kernel(network, weights, kernel=kernel)
    assert np.abs(ours.run(x)[:, 0] - expected.numpy()).max() <= FLOAT_LIMIT
    assert np.abs(ours.state[0] - state.numpy().ravel()).max() <= FLOAT_LIMIT


@pytest.mark.parametrize("option", [0, 3], ids=["none", "sigmoid"])
def test_other_activations_are_refused(option: int, kernel: str) -> None:
    network = CNetwork(1, (CLayer("rnn", 1, (0,), option),))
    with pytest.raises(BackendError, match="EL_BAD_LAYER"):
        native.make_net(network, np.zeros(3, np.float32), "float32", kernel)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_layer_of_a_model(activation: str, kernel: str) -> None:
    spec = one_layer_spec("rnn", activation=activation)
    weights = random_weights(native.network_of(spec.network), WITH_RNN.shapes)
    named = dict(zip(spec.network.weights, [a for layer in weights for a in layer], strict=True))
    check_model(spec, named, kernel=kernel)
