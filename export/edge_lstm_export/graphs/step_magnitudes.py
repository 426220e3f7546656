"""Magnitudes in float16: sqrt(a^2 + b^2) of a spectrum, as nets for sound compute it.

A square of less than 6e-5 has fewer bits in float16, so an `a` of 0.008 and less does. The
convolution that makes a and b is scaled by a power of two, and the convolutions that read the
magnitude by its inverse, so that the largest square seen is far from 65504. The answers are the
same.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LARGEST = 2.0**7  # of a and b, if scaled: two squares are half of what float16 holds
MOST = 8  # the exponent of a factor
MOVES = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Transpose", "Split"}
Rows = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class _Magnitude:
    """before: convolutions whose outputs are squared. after: those that read the square root."""

    squared: tuple[str, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


class _Finder:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.maker = {name: k for k, node in enumerate(self.nodes) for name in node.output}

    @functools.cached_property
    def readers(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for k, node in enumerate(self.nodes):
            for name in node.input:
                found.setdefault(name, []).append(k)
        return found

    def magnitudes(self) -> list[_Magnitude]:
        roots = [k for k, node in enumerate(self.nodes) if node.op_type == "Sqrt"]
        return [found for k in roots if (found := self._of(k)) is not None]

    def _of(self, root: int) -> _Magnitude | None:
        total = self._made_by(self.nodes[root].input[0], "Add")
        if total is None:
            return None
        parts = [self._square(name) for name in total.input]
        if None in parts:
            return None
        squared = tuple(name for name in parts if name is not None)
        sources = {self._origin(name) for name in squared}
        squares = {self.maker[name] for name in total.input}
        after = self._reached(self.nodes[root].output[0])
        if None in sources or not after or any(not self._is_conv(k) for k in after):
            return None
        before = tuple(sorted(k for k in sources if k is not None))
        if any(self._reached(self.nodes[k].output[0]) - squares for k in before):
            return None  # something else reads a or b
        return _Magnitude(squared, before, tuple(sorted(after)))

    def _made_by(self, name: str, op: str) -> onnx.NodeProto | None:
        node = self.nodes[self.maker[name]] if name in self.maker else None
        return node if node is not None and node.op_type == op else None

    def _square(self, name: str) -> str | None:
        """What is squared."""
        if (power := self._made_by(name, "Pow")) is not None:
            exponent = self.constants.get(power.input[1], np.empty(0))
            return power.input[0] if exponent.size == 1 and exponent.item() == 2 else None
        product = self._made_by(name, "Mul")
        same = product is not None and product.input[0] == product.input[1]
        return product.input[0] if product is not None and same else None

    def _origin(self, name: str) -> int | None:
        """The convolution of which this is a part."""
        k = self.maker.get(name)
        while k is not None and self.nodes[k].op_type in MOVES:
            k = self.maker.get(self.nodes[k].input[0])
        return k if k is not None and self._is_conv(k) else None

    def _is_conv(self, k: int) -> bool:
        node = self.nodes[k]
        return node.op_type == "Conv" and all(name in self.constants for name in node.input[1:])

    def _reached(self, name: str) -> set[int]:
        """The nodes that compute with a tensor. -1 is an output of the graph."""
        found = {-1} if name in self.outputs else set()
        for k in self.readers.get(name, []):
            node = self.nodes[k]
            if node.op_type in MOVES and node.input[0] == name:
                found = found.union(*(self._reached(output) for output in node.output))
            else:
                found.add(k)
        return found


def scaled(model: onnx.ModelProto, rows: Rows) -> onnx.ModelProto:
    """A copy with scaled magnitudes.

    model: x and NAME_in in, y and NAME_out out, in this order. rows: (steps, F) features.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    finder = _Finder(found.graph)
    magnitudes = finder.magnitudes()
    if not magnitudes:
        return found
    largest = _largest(model, [name for m in magnitudes for name in m.squared], rows)
    for number, magnitude in enumerate(magnitudes):
        most = max(largest[name] for name in magnitude.squared)
        exponent = math.floor(math.log2(LARGEST / most)) if most else 0
        factor = 2.0 ** min(max(exponent, -MOST), MOST)
        for places, by, inputs in (
            (magnitude.before, factor, (1, 2)),
            (magnitude.after, 1 / factor, (1,)),
        ):
            for k in places:
                node = found.graph.node[k]
                for place in inputs[: len(node.input) - 1]:
                    array = finder.constants[node.input[place]] * np.float32(by)
                    node.input[place] = f"{node.input[place]}_scaled{number}_{k}"
                    tensor = numpy_helper.from_array(array, node.input[place])
                    found.graph.initializer.append(tensor)
    return found


def _largest(model: onnx.ModelProto, names: list[str], rows: Rows) -> dict[str, float]:
    """The largest absolute value of each tensor over a stream, the state carried."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    for name in names:
        value = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        graph.graph.output.append(value)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one step at a time: threads would wait for each other
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x, *states = ((value.name, value.shape) for value in session.get_inputs())
    feeds = {name: np.zeros(shape, np.float32) for name, shape in states}
    largest = dict.fromkeys(names, 0.0)
    for row in rows:
        _, *found = session.run(None, {x[0]: row.reshape(x[1]), **feeds})
        feeds = dict(zip(feeds, found, strict=False))
        for name, value in zip(names, found[len(feeds) :], strict=True):
            largest[name] = max(largest[name], float(np.abs(value).max()))
    return largest
