"""Collects ONNX operators and constants into a checked model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 19  # the newest that rknn-toolkit2 2.5.0 reads
IR_VERSION = 9  # the one that came with opset 19
Sizes = Mapping[str, tuple[int | str, ...]]  # a size has a name if it is not fixed


def state_name(state: str, suffix: str) -> str:
    """The input or the output of the graph for a state: "lstm0.h" -> "lstm0_h_in"."""
    return f"{state.replace('.', '_')}_{suffix}"


class Graph:
    """Operators and constants. `model` makes the checked ONNX model."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.outputs: set[str] = set()  # tensors that keep their names

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def add(
        self, operator: str, inputs: Sequence[str], outputs: str | list[str], **attributes: Any
    ) -> str:
        """One operator, named after its first output that has a name. Returns that name."""
        outputs = [outputs] if isinstance(outputs, str) else outputs
        name = next(o for o in outputs if o)
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return name

    def convolution(
        self, inputs: str, W: NDArray[np.float32], b: NDArray[np.float32], name: str
    ) -> str:
        """A 1x1 convolution. W: (in, out), b: (out,)."""
        kernel = self.constant(f"{name}_W", W.T[:, :, None, None])  # (out, in, 1, 1)
        bias = self.constant(f"{name}_b", b)
        return self.add("Conv", [inputs, kernel, bias], name, kernel_shape=[1, 1])

    def rename(self, old: str, new: str) -> str:
        """Give an operator's output another name, also where operators read it. Returns the name.

        A graph's own inputs keep their name.
        """
        for node in self.nodes:
            if old in node.output:
                node.output[list(node.output).index(old)] = new
                node.name = new if node.name == old else node.name
            for k, name in enumerate(node.input):
                if name == old:
                    node.input[k] = new
        return new

    def made(self, name: str) -> bool:
        """True if an operator of this graph has that output."""
        return any(name in node.output for node in self.nodes)

    def model(self, form: str, inputs: Sizes, outputs: Sizes) -> onnx.ModelProto:
        """inputs, outputs: names and shapes, in order."""

        def values(sizes: Sizes) -> list[onnx.ValueInfoProto]:
            kind = TensorProto.FLOAT
            return [helper.make_tensor_value_info(n, kind, s) for n, s in sizes.items()]

        constants = list(self.initializers.values())
        graph = helper.make_graph(
            self.nodes, f"edge_lstm_{form}", values(inputs), values(outputs), constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="edge-lstm",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
