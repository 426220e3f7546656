"""Magnitudes of a spectrum, scaled for float16."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_lstm_export.graphs.step_magnitudes import scaled
from helpers.onnx_nets import Builder, Ends

XS = np.random.default_rng(2).normal(size=(60, 16)).astype(np.float32)


def net(*, squares: str = "Pow", also: bool = False) -> onnx.ModelProto:
    """x (1, 1, 16) -> two halves of a convolution, squared -> a convolution, and a state.

    also: whether something else reads the first convolution.
    """
    b = Builder(3)
    parts = b.add("Conv", "x", b.random(4, 1, 8), b.random(4), kernel_shape=[8], strides=[4])
    split = [
        b.add("Slice", parts, *(b.constant([n], np.int64) for n in (2 * k, 2 * k + 2, 1)))
        for k in (0, 1)
    ]
    exponent = b.constant(3.0 if squares == "cube" else 2.0)
    powers = [
        b.add("Mul", half, half) if squares == "Mul" else b.add("Pow", half, exponent)
        for half in split
    ]
    size = b.add("Sqrt", b.add("Abs" if squares == "cube" else "Identity", b.add("Add", *powers)))
    y = b.add("Conv", size, b.random(3, 2, 3), b.random(3), kernel_shape=[3])
    b.add("Add", y, "h", to="hn")
    b.add("Tanh", b.add("Add", y, b.add("ReduceSum", parts)) if also else y, to="y")
    ends = Ends({"x": (1, 1, 16), "h": (1, 3, 1)}, ["y", "hn"], {"h": "hn"})
    # Identity stands in no graph that was folded.
    model = b.model(ends, 18)
    for node in list(model.graph.node):
        if node.op_type == "Identity":
            for reader in model.graph.node:
                reader.input[:] = [node.input[0] if n in node.output else n for n in reader.input]
            model.graph.node.remove(node)
    return model


def run(model: onnx.ModelProto, xs: Any, more: tuple[str, ...] = ()) -> list[Any]:
    """Arrays (T, ...) of the outputs, and of further tensors."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name in more:
        copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(copy.SerializeToString())
    h = np.zeros((1, 3, 1), np.float32)
    rows = []
    for x in xs:
        rows.append(session.run(None, {"x": x.reshape(1, 1, 16), "h": h}))
        h = rows[-1][1]
    return [np.stack(parts) for parts in zip(*rows, strict=True)]


@pytest.mark.parametrize("squares", ["Pow", "Mul"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_the_largest_is_far_from_both_ends_and_answers_stay(squares: str, size: float) -> None:
    model = net(squares=squares)
    xs = (size * XS).astype(np.float32)
    found = scaled(model, xs)
    halves = tuple(n.output[0] for n in found.graph.node if n.op_type == "Slice")
    y, h, *parts = run(found, xs, halves)
    largest = max(float(np.abs(part).max()) for part in parts)
    # The factor is a power of two from 2^-8 to 2^8.
    assert 64 < largest <= 128 or (size == 1e4 and 64 < largest < 1e4)
    right = run(model, xs)
    assert np.allclose(y, right[0], rtol=1e-5, atol=1e-6)
    assert np.allclose(h, right[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{"squares": "cube"}, {"also": True}])
def test_what_is_no_magnitude_alone_stays(options: dict[str, Any]) -> None:
    model = net(**options)
    assert scaled(model, XS).graph.node == model.graph.node
