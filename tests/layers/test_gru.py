"""GRU with the reset gate behind the product (against PyTorch) and before it (against onnx)."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from helpers import layers
from helpers.arrays import Array, Weights
from helpers.layers import Kind


def by_torch(weights: Weights, x: Array) -> Array:
    """torch.nn.GRU: rows r, z, n. h of n has a bias of its own."""
    H = weights["W_h"].shape[0]
    gru = torch.nn.GRU(x.shape[1], H, dtype=torch.float64)
    b = weights["b"]
    zeros = np.zeros(2 * H)
    arrays = (weights["W_x"].T, weights["W_h"].T, b[: 3 * H], np.concatenate([zeros, b[3 * H :]]))
    with torch.inference_mode():
        for parameter, array in zip(gru.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array.copy()))
        found: Array = gru(torch.from_numpy(x.copy()))[0].numpy()
    return found


def by_onnx(weights: Weights, x: Array) -> Array:
    """ONNX's GRU with linear_before_reset = 0, in float64 by the reference of the onnx package."""
    H = weights["W_h"].shape[0]

    def rows(W: Array) -> Array:
        r, z, n = np.split(W, 3, axis=-1)
        return np.concatenate([z, r, n], axis=-1).T[None]

    arrays = {
        "W": rows(weights["W_x"]),
        "R": rows(np.concatenate([weights["W_h"], weights["W_n"]], axis=1)),
        "B": np.concatenate([rows(weights["b"]), np.zeros((1, 3 * H))], axis=1),
    }
    node = helper.make_node("GRU", ["x", *arrays], ["Y"], hidden_size=H, linear_before_reset=0)
    kind = TensorProto.DOUBLE
    values = [helper.make_tensor_value_info("x", kind, [None, 1, x.shape[1]])]
    outputs = [helper.make_tensor_value_info("Y", kind, None)]
    constants = [onnx.numpy_helper.from_array(a.astype(np.float64), n) for n, a in arrays.items()]
    graph = helper.make_graph([node], "gru", values, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    found: Array = ReferenceEvaluator(model).run(None, {"x": x[:, None]})[0][:, 0, 0]
    return found


AFTER = Kind({"type": "gru", "linear_before_reset": True}, by_torch)
BEFORE = Kind({"type": "gru", "linear_before_reset": False}, by_onnx)
both = pytest.mark.parametrize("kind", [AFTER, BEFORE], ids=["after", "before"])


@both
def test_backends(kind: Kind) -> None:
    layers.check_backends(kind)


@both
def test_streams(kind: Kind) -> None:
    layers.check_streams(kind)


@both
def test_drift(kind: Kind) -> None:
    layers.check_drift(kind)


@both
def test_both_ways(kind: Kind) -> None:
    layers.check_both_ways(kind)


@both
def test_module(kind: Kind) -> None:
    layers.check_module(kind)


@both
def test_joined(kind: Kind) -> None:
    layers.check_joined(kind)


@both
def test_cpu_int8(kind: Kind) -> None:
    layers.check_cpu_int8(kind, 3e-2)


@both
def test_npu_int8(kind: Kind) -> None:
    layers.check_npu_int8(kind, 3e-2)


def test_refused() -> None:
    layers.check_refused(
        AFTER,
        "linear_before_reset",
        1,
        "network: layer 'r0': linear_before_reset is 1, expected true or false",
    )
