"""Collects ONNX operators and constants into a checked model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_lstm_runtime import ModelSpec

OPSET = 19  # the newest that rknn-toolkit2 2.5.0 reads


IR_VERSION = 9  # the one that came with opset 19


def state_names(layers: int, suffix: str) -> list[str]:
    """h0, c0, h1, c1, ... with "_in" or "_out": the order of the graph's inputs and outputs, after x and y."""
    return [f"{part}{k}_{suffix}" for k in range(layers) for part in "hc"]


class Graph:
    """Collects operators and constants; `model` makes the checked ONNX model."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(
        self, operator: str, inputs: list[str], outputs: str | list[str], **attributes: Any
    ) -> str:
        """One operator, named after its (first real) output; returns that output."""
        outputs = [outputs] if isinstance(outputs, str) else outputs
        name = next(o for o in outputs if o)
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return name

    def convolution(
        self, inputs: str, W: NDArray[np.float32], b: NDArray[np.float32], name: str
    ) -> str:
        """A 1x1 convolution. W: (in, out), b: (out,)."""
        kernel = self.constant(f"{name}_W", W.T[:, :, None, None])  # (out, in, 1, 1)
        return self.add(
            "Conv", [inputs, kernel, self.constant(f"{name}_b", b)], name, kernel_shape=[1, 1]
        )

    def model(
        self,
        spec: ModelSpec,
        form: str,
        sizes: Mapping[str, tuple[int | str, ...]],
        inputs: list[str] | None = None,
    ) -> onnx.ModelProto:
        """sizes: shapes by the name of an input or output, or by its first letter; a size that is not fixed has a name. inputs: their
        names, x and the states unless given."""

        def value(name: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(
                name, TensorProto.FLOAT, sizes.get(name, sizes.get(name[0]))
            )

        carried = 0 if spec.bidirectional else spec.num_layers
        ins = [value(n) for n in inputs or ("x", *state_names(carried, "in"))]
        outs = [value(n) for n in ("y", *state_names(carried, "out"))]
        graph = helper.make_graph(self.nodes, f"edge_lstm_{form}", ins, outs, self.initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="edge-lstm",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
