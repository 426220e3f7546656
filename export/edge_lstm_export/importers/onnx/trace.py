"""Walks the nodes of a graph whose shapes are fixed: constants are computed, origins are moved."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_lstm_runtime.errors import ConversionError

from .. import Floats
from .._elements import Ids, elements, unique_sources
from .._parts import Part, X, needed
from .load import FLOAT, reason, subgraphs

DOMAINS = ("", "ai.onnx")
# They only move values. All inputs but the first are constants, but for those of Concat.
MOVES = {
    *("Identity", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Flatten", "Slice", "Gather"),
    *("Split", "Concat", "Dropout", "Cast"),
}
SIZES = {"Shape", "Size"}  # a constant, whatever the values are
# They compute constants from constants.
FOLDED = {
    *MOVES,
    *SIZES,
    *("Constant", "ConstantOfShape", "Range", "Expand", "Tile"),
    *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sqrt", "Pow", "Exp", "Reciprocal"),
    *("Min", "Max", "Floor", "Ceil", "Clip", "Equal", "Less", "Greater", "LessOrEqual"),
    *("GreaterOrEqual", "Not", "And", "Or", "Where", "ReduceProd", "ReduceSum", "Tanh"),
    *("Sigmoid", "Relu"),
}
PARTLY = {"Sqrt"}  # no layer does it alone
DIVISION = "Div"
MAX_CONSTANT = 2**26  # values of one that is computed
TOO_MANY = "values, too many"


@dataclasses.dataclass(frozen=True)
class Node:
    proto: onnx.NodeProto
    attributes: Mapping[str, Any]

    @property
    def op(self) -> str:
        return str(self.proto.op_type)

    @property
    def title(self) -> str:
        """The operator, with its domain if it is not ONNX's own."""
        domain = self.proto.domain
        return self.op if domain in DOMAINS else f"{domain}.{self.op}"

    @property
    def name(self) -> str:
        """As the file has it. A node without a name is told by its first output."""
        return str(self.proto.name or next(filter(None, self.proto.output), self.op))

    def input(self, place: int) -> str:
        """ "" if it is left out."""
        return self.proto.input[place] if place < len(self.proto.input) else ""

    def output(self, place: int) -> str:
        return self.proto.output[place] if place < len(self.proto.output) else ""


def node_of(proto: onnx.NodeProto) -> Node:
    values = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    return Node(proto, {name: _text(value) for name, value in values.items()})


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(v) for v in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class Trace:
    """What became of a graph's tensors and nodes.

    handlers operator -> what makes layers of it
    shapes   input of the graph -> its shape. The first one is x
    axis     of time in x, or None: then the graph is one step
    steps    T

    constants, ids   tensor -> its value, or its origins. A tensor in neither is not understood
    sources          (kind, name) of each: x, a state, the outputs or the cell state of a layer
    fed              an element of a state input -> what it is after the last step
    nodes            with `If` of a known condition in place of its branch
    unknown, first   operator -> how many there are, and the name of the first
    faults           sentences on nodes whose operator is known
    makers           tensor -> its node
    waiting          nodes that are only known as a part of another, by name
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        shapes: Mapping[str, tuple[int, ...]],
        axis: int | None,
        handlers: Mapping[str, Callable[[Trace, Node], None]],
    ):
        self.handlers = handlers
        self.opset = next((o.version for o in model.opset_import if o.domain in DOMAINS), 1)
        self.shapes = shapes
        self.axis = axis
        x = next(iter(shapes))
        self.steps = 1 if axis is None else shapes[x][axis]
        self.constants: dict[str, NDArray[Any]] = {}
        self.ids: dict[str, Ids] = {}
        self.sources: list[tuple[str, str]] = []
        self.fed: dict[int, int] = {}
        self.parts: list[Part] = []
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.unknown: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.faults: list[str] = []
        self.makers: dict[str, Node] = {}
        self.waiting: dict[str, Node] = {}
        for name, shape in shapes.items():
            source = self.source("x" if name == x else "state", name)
            if name != x:
                self.ids[name] = elements(source, 0, np.arange(math.prod(shape))).reshape(shape)
                continue
            rest = [size for k, size in enumerate(shape) if k != axis]
            self.features = math.prod(rest)
            ids = elements(X, np.arange(self.steps)[:, None], np.arange(self.features))
            ids = ids.reshape(self.steps, *rest)
            self.ids[name] = ids[0] if axis is None else np.moveaxis(ids, 0, axis)
        self._walk(model.graph)

    @property
    def understood(self) -> bool:
        return not (self.unknown or self.faults)

    def source(self, kind: str, name: str) -> int:
        self.sources.append((kind, name))
        return len(self.sources) - 1

    def tensor(self, node: Node, place: int) -> Ids:
        """Raises ConversionError if it is a constant."""
        if (name := node.input(place)) not in self.ids:
            raise ConversionError(f"it reads the constant {name!r}, expected a tensor")
        return self.ids[name]

    def constant(self, node: Node, place: int, what: str) -> Floats:
        """In float64. Raises ConversionError if it is none, or no finite numbers."""
        name = node.input(place)
        if name not in self.constants:
            raise ConversionError(f"its {what} is no constant")
        value = self.constants[name].astype(np.float64)
        if not np.isfinite(value).all():
            raise ConversionError(f"its {what} {name!r} has NaN or infinity")
        return value

    def settle(self, outputs: Sequence[str]) -> None:
        """Drop the parts that no output depends on, and find faults with what the others read.

        Only layers and x may be computed with.
        """
        for node in self.waiting.values():
            self._count(node)
        wanted = {s for name in outputs if name in self.ids for s in unique_sources(self.ids[name])}
        self.parts = needed(self.parts, wanted)
        for part in self.parts:
            for source in unique_sources(part.columns):
                kind, name = self.sources[source]
                maker = self.makers.get(part.tensor)
                where = f"{maker.title if maker else 'Identity'} {part.node!r}"
                if kind == "state":
                    self.faults.append(f"{where}: it computes with the state {name!r}")
                if kind == "cell":
                    self.faults.append(f"{where}: it reads the cell state of {name!r}")

    def _walk(self, graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            try:
                self.constants[tensor.name] = numpy_helper.to_array(tensor)
            except (TypeError, ValueError) as e:  # the checker doesn't count the values
                raise ConversionError(f"tensor {tensor.name!r} is damaged: {reason(e)}") from e
            self.initializers.append(tensor)
        if graph.sparse_initializer:
            self.faults.append("sparse weights can't be taken")
        for proto in graph.node:
            node = node_of(proto)
            if node.op == "If" and node.title == "If" and node.input(0) in self.constants:
                self._branch(node)
                continue
            self.nodes.append(proto)
            try:
                self._visit(node)
            except ConversionError as e:
                self.faults.append(f"{node.title} {node.name!r}: {e}")
            except ValueError as e:  # of NumPy: the checker doesn't compare all shapes
                self.faults.append(f"{node.title} {node.name!r}: its inputs don't fit: {reason(e)}")

    def _branch(self, node: Node) -> None:
        """The branch of an `If` that is always taken, with names that are its own."""
        taken = bool(self.constants[node.input(0)].ravel()[0])
        branch = node.attributes["then_branch" if taken else "else_branch"]
        inside = onnx.GraphProto()
        inside.CopyFrom(branch)
        outputs = [output.name for output in inside.output]
        made = {name for inner in inside.node for name in inner.output if name}
        made |= {tensor.name for tensor in inside.initializer}
        new = {name: f"{node.output(0)}/{name}" for name in made}
        _rename(inside, new)
        for inner in inside.node:  # two branches may have nodes of one name
            inner.name = inner.name and f"{node.name}/{inner.name}"
        for name, output in zip(outputs, node.proto.output, strict=True):
            inside.node.append(helper.make_node("Identity", [new.get(name, name)], [output]))
        self._walk(inside)

    def _visit(self, node: Node) -> None:
        given = [name for name in node.proto.input if name]
        if node.title in FOLDED and all(name in self.constants for name in given):
            return self._fold(node, {name: self.constants[name] for name in given})
        self.makers |= dict.fromkeys(filter(None, node.proto.output), node)
        if node.title in PARTLY:
            self.waiting[node.name] = node
            return None
        if node.title == DIVISION and not any(name in self.constants for name in given):
            return self.handlers[DIVISION](self, node)
        if node.title not in {*self.handlers, *MOVES, *SIZES}:
            return self._count(node)
        if any(name not in self.ids and name not in self.constants for name in given):
            return None  # after a node that is not understood
        if node.title in self.handlers:
            return self.handlers[node.op](self, node)
        if node.op in SIZES:
            return self._fold(node, {given[0]: self.ids[given[0]]})
        return self._move(node, given)

    def _count(self, node: Node) -> None:
        self.unknown[node.title] += 1
        self.first.setdefault(node.title, node.name)

    def _move(self, node: Node, given: Sequence[str]) -> None:
        moved = given if node.op == "Concat" else given[:1]
        if any((name in self.ids) != (name in moved) for name in given):
            raise ConversionError("it takes a constant and a tensor in a way that has no layer yet")
        if node.op == "Cast" and node.attributes["to"] != FLOAT:
            raise ConversionError("it changes the type, expected float32 throughout")
        if node.op in ("Cast", "Dropout"):
            self.ids[node.output(0)] = self.ids[given[0]]
            return
        feeds = {name: self.ids.get(name, self.constants.get(name)) for name in given}
        for name, value in self._run(node, feeds).items():
            self.ids[name] = np.asarray(value, np.int64)

    def _fold(self, node: Node, feeds: Mapping[str, NDArray[Any]]) -> None:
        self._check_size(node, list(feeds.values()))
        for name, value in self._run(node, feeds).items():
            self.constants[name] = np.asarray(value)

    def _check_size(self, node: Node, values: Sequence[NDArray[Any]]) -> None:
        """Raise ConversionError before a constant is made that is much larger than the file."""
        size = sum(v.size for v in values)
        if node.op == "ConstantOfShape":
            size = math.prod(values[0].ravel().tolist())
        elif node.op in ("Expand", "Tile"):
            size = values[0].size * math.prod(values[-1].ravel().tolist())
        elif node.op == "Range":
            ends = [float(v.ravel()[0]) for v in (self.constants[n] for n in node.proto.input)]
            size = int(abs(ends[1] - ends[0]) / max(abs(ends[2]), 1e-9))
        elif node.op not in MOVES and len(values) > 1:
            try:
                size = math.prod(np.broadcast_shapes(*(v.shape for v in values)))
            except ValueError:
                return  # of an operator that doesn't broadcast
        if size > MAX_CONSTANT:
            raise ConversionError(f"it makes a constant of {size:,} {TOO_MANY}")

    def _run(self, node: Node, feeds: Mapping[str, Any]) -> dict[str, Any]:
        if any(True for _ in subgraphs(node.proto)):
            raise ConversionError("it has graphs inside")
        inputs = [onnx.ValueInfoProto(name=name) for name in feeds]
        names = [name for name in node.proto.output if name]
        outputs = [onnx.ValueInfoProto(name=name) for name in names]
        graph = helper.make_graph([node.proto], "node", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        try:
            found = ReferenceEvaluator(model).run(names, dict(feeds))
        except Exception as e:  # of NumPy, of the evaluator: they have no other base class
            raise ConversionError(f"its inputs don't fit: {reason(e)}") from e
        return dict(zip(names, found, strict=True))


def _rename(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    for tensor in graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
        for inner in subgraphs(node):
            _rename(inner, new)
    for output in graph.output:
        output.name = new.get(output.name, output.name)
