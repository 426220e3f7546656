"""GRU layers on every kernel of this CPU: against float64 equations, PyTorch and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import native
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_layers import (
    FLOAT_LIMIT,
    TYPES,
    Array,
    Kernel,
    check_float16,
    check_float32,
    check_int8,
    check_model,
    random_weights,
    sigmoid,
)
from helpers.specs import one_layer_spec
from helpers.weights import normal_weights

KERNELS = native.kernels() if native.LIBRARY.exists() else ()
pytestmark = [
    pytest.mark.skipif(not KERNELS, reason=f"{native.LIBRARY.name} is not built"),
    pytest.mark.parametrize("kernel", KERNELS),
]
BEFORE = 0  # the reset gate and the recurrent product
AFTER = 1


def shapes(layer: CLayer) -> tuple[tuple[int, ...], int]:
    return ((3, 3), 4) if layer.option == AFTER else ((3, 2, 1), 3)


def gru(layer: CLayer) -> Any:
    def step(weights: Sequence[Array], x: Array, state: Array) -> tuple[Array, Array]:
        W_x, W_h, *W_n, b = weights
        h = state[0]
        x_r, x_z, x_n = np.split(x @ W_x + b[: 3 * layer.units], 3)
        h_r, h_z, *h_n = np.split(h @ W_h, 3 if layer.option == AFTER else 2)
        r = sigmoid(x_r + h_r)
        z = sigmoid(x_z + h_z)
        rest = (r * h) @ W_n[0] if W_n else r * (h_n[0] + b[3 * layer.units :])
        n = np.tanh(x_n + rest)
        h = n + z * (h - n)
        return h, h[None]

    return step, 1


WITH_GRU = TYPES.with_type("gru", shapes, gru)
NETWORKS = {
    "after": CNetwork(5, (CLayer("gru", 21, (0,), AFTER), CLayer("dense", 3, (1,)))),
    "before": CNetwork(5, (CLayer("gru", 21, (0,), BEFORE), CLayer("dense", 3, (1,)))),
    "mixed": CNetwork(
        3,
        (
            CLayer("dense", 9, (0,), 1),
            CLayer("gru", 16, (1,), BEFORE),
            CLayer("lstm", 7, (2, 0)),
            CLayer("gru", 33, (3, 1), AFTER),
            CLayer("dense", 4, (4, 2)),
        ),
    ),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


@every_network
@pytest.mark.parametrize("streams", [1, 6])
def test_float32_over_1000_steps(network: CNetwork, streams: int, kernel: str) -> None:
    check_float32(network, WITH_GRU, streams=streams, kernel=kernel)


@every_network
def test_float16_over_1000_steps(network: CNetwork, kernel: str) -> None:
    check_float16(network, WITH_GRU, streams=3, kernel=kernel)


@every_network
def test_int8_is_near_float32(network: CNetwork, kernel: str) -> None:
    check_int8(network, WITH_GRU, kernel=kernel)


def test_against_pytorch(kernel: str) -> None:
    import torch

    network = CNetwork(4, (CLayer("gru", 24, (0,), AFTER), CLayer("gru", 24, (1,), AFTER)))
    weights = random_weights(network, WITH_GRU.shapes)
    found = torch.nn.GRU(4, 24, 2, dtype=torch.float64)
    x = np.random.default_rng(2).normal(size=(1000, 1, 4)).astype(np.float32)
    with torch.no_grad():
        # PyTorch has a bias of h for r and z too, which is added to that of x.
        for k, (W_x, W_h, b) in enumerate(weights):
            values = (W_x.T, W_h.T, b[:72], np.concatenate([np.zeros(48), b[72:]]))
            for name, value in zip(
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), values, strict=True
            ):
                getattr(found, f"{name}_l{k}").copy_(torch.from_numpy(value.astype(np.float64)))
        expected, state = found(torch.from_numpy(x[:, 0]).double())
    ours = Kernel(network, weights, kernel=kernel)
    assert np.abs(ours.run(x)[:, 0] - expected.numpy()).max() <= FLOAT_LIMIT
    assert np.abs(ours.state[0] - state.numpy().ravel()).max() <= FLOAT_LIMIT


def zrn(rows: Array) -> Array:
    """ONNX has the gates in the order z, r, n, in rows."""
    r, z, n = np.split(rows, 3)
    return np.concatenate([z, r, n])


@pytest.mark.parametrize("option", [BEFORE, AFTER])
def test_against_onnx_runtime(option: int, kernel: str) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    H = 19
    network = CNetwork(5, (CLayer("gru", H, (0,), option),))
    weights = random_weights(network, WITH_GRU.shapes)
    W_x, *W_h, b = weights[0]
    of_h = np.concatenate([np.zeros(2 * H, np.float32), np.resize(b[3 * H :], H)])
    if option == BEFORE:
        of_h[:] = 0
    tensors = {
        "W": zrn(W_x.T)[None],
        "R": zrn(np.concatenate(W_h, axis=1).T)[None],
        "B": np.concatenate([zrn(b[: 3 * H]), of_h])[None],
    }
    node = onnx.helper.make_node(
        "GRU", ["x", *tensors], ["y"], hidden_size=H, linear_before_reset=option
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "gru",
        [value("x", onnx.TensorProto.FLOAT, [200, 1, 5])],
        [value("y", onnx.TensorProto.FLOAT, [200, 1, 1, H])],
        [
            onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in tensors.items()
        ],
    )
    opset = [onnx.helper.make_opsetid("", 14)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    x = np.random.default_rng(3).normal(size=(200, 1, 5)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(None, {"x": x})
    ours = Kernel(network, weights, kernel=kernel).run(x)
    assert np.abs(ours - expected[:, 0]).max() <= FLOAT_LIMIT


@pytest.mark.parametrize("after", [False, True])
def test_the_layer_of_a_model(after: bool, kernel: str) -> None:
    spec = one_layer_spec("gru", linear_before_reset=after)
    check_model(spec, normal_weights(spec), kernel=kernel)
