"""An ONNX graph as the rules of `lint` see it."""

from __future__ import annotations

from typing import Any

import onnx

from ..targets import Target, limits

Shape = tuple[int, ...]  # 0 for a size that the graph doesn't say


class Graph:
    """An ONNX graph with the questions that the rules ask."""

    def __init__(self, model: onnx.ModelProto, target: Target, scheme: str):
        self.target = target
        self.scheme = scheme
        self.limits = limits()
        self.opset = max(
            (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0
        )
        graph = onnx.shape_inference.infer_shapes(model).graph
        self.nodes = list(graph.node)
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        constants = {i.name: tuple(i.dims) for i in graph.initializer}
        self.inputs = [v.name for v in graph.input if v.name not in constants]
        self.outputs = [v.name for v in graph.output]
        self.shapes: dict[str, Shape] = dict(constants)
        for value in (*graph.value_info, *graph.output, *graph.input):
            self.shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        self.lstms = [Lstm(node, self.shapes) for node in self.nodes if node.op_type == "LSTM"]

    def readers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def through(self, name: str, operators: set[str]) -> str:
        """The tensor that `name` is made from by `operators` alone, which only change the shape."""
        while name in self.producer and self.producer[name].op_type in operators:
            name = self.producer[name].input[0]
        return name

    def unaligned(self, name: str) -> int:
        return self.unaligned_size(max(self.shapes.get(name, ()), default=0))

    def unaligned_size(self, size: int) -> int:
        """The multiple that the size would need for a Reshape to stay on the NPU, or 0 if the size
        is fine."""
        multiple = self.target.reshape.get(self.scheme, 0)
        return multiple if multiple and size > 1 and size % multiple else 0


class Lstm:
    def __init__(self, node: onnx.NodeProto, shapes: dict[str, Shape]):
        self.node = node
        self.name = node_name(node)
        # X W R B sequence_lens initial_h initial_c P
        self.operands = [*node.input, *[""] * (8 - len(node.input))]
        self.attributes: dict[str, Any] = {
            a.name: onnx.helper.get_attribute_value(a) for a in node.attribute
        }
        x = shapes.get(self.operands[0], ())
        self.steps, self.batch, self.features = (*x, 0, 0, 0)[:3]
        if self.attributes.get("layout"):
            self.steps, self.batch = self.batch, self.steps
        self.hidden = int(
            self.attributes.get("hidden_size") or (*shapes.get(self.operands[2], ()), 0, 0, 0)[2]
        )


def node_name(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or next((o for o in node.output if o), '')!r}"


def next_multiple(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
