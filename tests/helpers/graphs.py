"""Bundles whose model.onnx is another one than its export made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_lstm_runtime import Bundle, read_bundle, write_bundle

MEMBER = "model.onnx"


def with_graph(
    path: Path, change: Callable[[onnx.ModelProto], None], *, check: bool = True
) -> Bundle:
    """The bundle in the file with its graph changed, every checksum right.

    check: the changed graph is right by ONNX's own checker.
    """
    bundle = read_bundle(path)
    model = onnx.load_from_string(bundle.member(MEMBER))
    change(model)
    if check:
        onnx.checker.check_model(model)
    members = {n: m for n, m in bundle.members.items() if n != "weights.npz"}
    members[MEMBER] = model.SerializeToString()
    facts = {k: v for k, v in bundle.manifest.items() if k not in ("format", "spec", "members")}
    return write_bundle(path, bundle.spec, bundle.weights, members, **facts)


def shift_bias(model: onnx.ModelProto) -> None:
    """100 more on the first value of the last one-dimensional array of weights."""
    biases = [a for a in model.graph.initializer if a.data_type == TensorProto.FLOAT]
    bias = biases[-1]
    values = numpy_helper.to_array(bias).copy()
    values.ravel()[0] += 100
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))


def loop_for_ever(model: onnx.ModelProto) -> None:
    """The answer goes through a loop whose condition stays true."""
    graph = model.graph
    y = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before_loop" if name == y else name for name in node.output]
    inside = [
        helper.make_node("Identity", ["on"], ["still_on"]),
        helper.make_node("Neg", ["value"], ["turned"]),
    ]
    body = helper.make_graph(
        inside,
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turned", TensorProto.FLOAT, None),
        ],
    )
    graph.initializer.append(helper.make_tensor("true", TensorProto.BOOL, [], [True]))
    graph.node.append(helper.make_node("Loop", ["", "true", "before_loop"], [y], body=body))
