"""An ONNX graph as the rules of `lint` see it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import onnx
import onnx.numpy_helper

from .targets import RknnTarget, limits

Shape = tuple[int, ...]  # 0 for a size that the graph doesn't say
STANDARD = ("", "ai.onnx")  # the two names of ONNX's own domain
SHAPE_ONLY = {"Squeeze", "Unsqueeze"}


class Graph:
    """An ONNX graph with the questions that the rules ask."""

    def __init__(self, model: onnx.ModelProto, target: RknnTarget, scheme: str):
        self.target = target
        self.scheme = scheme
        self.limits = limits()
        self.opset = max((o.version for o in model.opset_import if o.domain in STANDARD), default=0)
        graph = onnx.shape_inference.infer_shapes(model).graph
        self.nodes = list(graph.node)
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        weights = {i.name: tuple(i.dims) for i in graph.initializer}
        self.inputs = [v.name for v in graph.input if v.name not in weights]
        self.outputs = [v.name for v in graph.output]
        self.shapes: dict[str, Shape] = dict(weights)
        self.types = {i.name: i.data_type for i in graph.initializer}
        for value in (*graph.value_info, *graph.output, *graph.input):
            self.shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            self.types[value.name] = value.type.tensor_type.elem_type
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(node)
        self._held = dict(_held(graph))
        self.constants = self._constants(set(weights))
        recurrent = [Recurrent(n, self.shapes) for n in self.nodes if n.op_type in _GATES]
        self.lstms = [r for r in recurrent if r.node.op_type == "LSTM"]
        self.grus = [r for r in recurrent if r.node.op_type == "GRU"]
        self.recurrent = recurrent

    def readers(self, name: str) -> list[onnx.NodeProto]:
        return self._readers.get(name, [])

    def numbers(self, *names: str) -> list[float]:
        """The values of small constants, whole or not."""
        return [float(v) for name in names for v in self._held.get(name, ())]

    def _constants(self, weights: set[str]) -> set[str]:
        """The tensors that no input reaches. The converter computes them itself."""
        found = set(weights)
        for node in self.nodes:  # in an order in which each reads what is there already
            fixed = node.op_type == "Shape" and 0 not in self.shapes.get(node.input[0], (0,))
            if fixed or all(not name or name in found for name in node.input):
                found.update(node.output)
        return found

    def moves(self, transpose: onnx.NodeProto) -> bool:
        """Whether a Transpose does anything. It doesn't if it swaps dimensions of size 1 alone."""
        shape = self.shapes.get(transpose.input[0], ())
        order = next((list(a.ints) for a in transpose.attribute if a.name == "perm"), [])
        order = order or list(range(len(shape)))[::-1]
        wide = [axis for axis in order if axis >= len(shape) or shape[axis] != 1]
        return wide != sorted(wide) or any(order[axis] != axis for axis in wide)

    def norm(self, node: onnx.NodeProto) -> bool:
        """Whether it is the Sqrt or Div of a norm of primitives, that is x / Sqrt(ReduceMean(x²) +
        epsilon). The converter makes one operator of that."""
        root = node if node.op_type == "Sqrt" else self.producer.get((*node.input, "", "")[1], node)
        name = root.input[0] if root.op_type == "Sqrt" else ""
        found = []
        while (source := self.producer.get(name)) and source.op_type in ("Add", "ReduceMean"):
            found.append(source.op_type)
            name = next((n for n in source.input if n not in self.constants), "")
        return "ReduceMean" in found

    @functools.cached_property
    def computed(self) -> list[onnx.NodeProto]:
        """The nodes that an answer needs and that the inputs reach."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                if not self.constants.issuperset(filter(None, node.output)):
                    kept.append(node)
        return kept[::-1]

    def through(self, name: str, operators: set[str]) -> str:
        """The tensor that `name` is made from by `operators` alone, which only change the shape."""
        while name in self.producer and self.producer[name].op_type in operators:
            name = self.producer[name].input[0]
        return name

    def unaligned(self, name: str) -> int:
        """The multiple that the number of a tensor's values would need for a Reshape to stay on the
        NPU, or 0 if it is fine."""
        multiple = self.target.reshape.get(self.scheme, 0)
        return multiple if multiple and self.count(name) % multiple else 0

    def count(self, name: str) -> int:
        """The number of values. A size that the graph doesn't say counts as 1."""
        return math.prod(max(size, 1) for size in self.shapes.get(name, ()))

    def unaligned_size(self, size: int) -> int:
        """The same for a size that the LSTM or GRU has. One of 1 is fine."""
        multiple = self.target.reshape.get(self.scheme, 0)
        return multiple if multiple and size > 1 and size % multiple else 0


def _held(graph: onnx.GraphProto) -> Iterator[tuple[str, list[float]]]:
    """The constants of at most 8 values."""
    tensors = [(t.name, t) for t in graph.initializer]
    tensors += [
        (node.output[0], a.t)
        for node in graph.node
        if node.op_type == "Constant"
        for a in node.attribute
        if a.name == "value"
    ]
    for name, tensor in tensors:
        inside = tensor.data_location != onnx.TensorProto.EXTERNAL
        if inside and math.prod(tensor.dims) <= 8 and tensor.data_type in _NUMBERS:
            yield name, onnx.numpy_helper.to_array(tensor).ravel().tolist()


_NUMBERS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.BOOL,
}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Recurrent:
    """An LSTM, GRU or RNN."""

    def __init__(self, node: onnx.NodeProto, shapes: dict[str, Shape]):
        self.node = node
        self.name = node_name(node)
        # X W R B sequence_lens initial_h, and for the LSTM initial_c P
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

    @property
    def bias(self) -> Shape:
        """The shape of B in one direction."""
        return (1, 2 * _GATES[self.node.op_type] * self.hidden)


def node_name(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or next((o for o in node.output if o), '')!r}"


def next_multiple(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
