"""The form of an opaque step for an NPU: four dimensions at the ends, operators that it has.

A 2-D input or output makes the converter of Rockchip log "Unkown op target: 0". So does a Pad that
reflects, because it goes to the CPU.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edge_lstm_runtime import ModelSpec

from .builder import OPSET, state_name
from .form import Form
from .step import FORM
from .step_magnitudes import scaled

KIND = onnx.TensorProto.FLOAT
RESHAPES = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}
MAX_KERNEL = 2**22  # values of convolutions that copy


def four_d(spec: ModelSpec, model: onnx.ModelProto, rows: NDArray[np.float32]) -> Form:
    """The form for an NPU: every input and output is (1, size, 1, 1).

    rows: (steps, F) features, which show how large values become.
    """
    network = spec.network
    graph = onnx.ModelProto()
    graph.CopyFrom(_for_npu(scaled(model, rows)))
    inner = graph.graph
    made = {*network.graph_inputs, "y", *(state_name(n, "out") for n in network.state)}
    for node in inner.node:
        node.input[:] = [f"{n}_inner" if n in made else n for n in node.input]
        node.output[:] = [f"{n}_inner" if n in made else n for n in node.output]
    before = []
    for name, shape in network.graph_inputs.items():
        inner.initializer.append(numpy_helper.from_array(np.array(shape), f"{name}_shape"))
        before.append(helper.make_node("Reshape", [name, f"{name}_shape"], [f"{name}_inner"]))
    sizes = {"y": network.outputs}
    sizes |= {state_name(name, "out"): size for name, size in network.state.items()}
    after = []
    for name, size in sizes.items():
        four = np.array([1, size, 1, 1])
        inner.initializer.append(numpy_helper.from_array(four, f"{name}_shape"))
        after.append(helper.make_node("Reshape", [f"{name}_inner", f"{name}_shape"], [name]))
    nodes = [*before, *inner.node, *after]
    del inner.node[:]
    inner.node.extend(nodes)
    for values, named in (
        (inner.input, {name: int(np.prod(s)) for name, s in network.graph_inputs.items()}),
        (inner.output, sizes),
    ):
        del values[:]
        for name, size in named.items():
            values.append(helper.make_tensor_value_info(name, KIND, [1, size, 1, 1]))
    del inner.value_info[:]
    onnx.checker.check_model(graph, full_check=True)
    return Form(FORM, graph, {"io": {"form": "cell"}})


@dataclasses.dataclass
class _Rewriting:
    """sizes: of tensors. copies: a tensor that only moves values of another -> that one, and the
    place there of each value."""

    graph: onnx.GraphProto
    sizes: dict[str, list[int]]
    constants: dict[str, NDArray[Any]]
    copies: dict[str, tuple[str, NDArray[Any]]] = dataclasses.field(default_factory=dict)

    def origin(self, name: str) -> tuple[str, NDArray[Any]]:
        return self.copies.get(name) or (name, np.arange(math.prod(self.sizes[name])))

    def constant(self, name: str, array: NDArray[Any]) -> str:
        tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.graph.initializer.append(tensor)
        return name

    def copying(self, source: str, places: NDArray[Any], name: str) -> list[onnx.NodeProto]:
        """`name` is (1, n, 1, 1), these places of the source, by a convolution."""
        size = math.prod(self.sizes[source])
        kernel = np.zeros((len(places), size, 1, 1), np.float32)
        kernel[np.arange(len(places)), places] = 1
        shape = self.constant(f"{name}_of", np.array([1, size, 1, 1]))
        inputs = [f"{name}_from", self.constant(f"{name}_kernel", kernel)]
        return [
            helper.make_node("Reshape", [source, shape], [inputs[0]], name=inputs[0]),
            helper.make_node("Conv", inputs, [name], name=name, kernel_shape=[1, 1]),
        ]

    def padded(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """In the place of a Pad that copies values of a vector: all sizes are 1 but one."""
        mode: Any = next((a.s.decode() for a in node.attribute if a.name == "mode"), "constant")
        shape = self.sizes.get(node.input[0], [])
        known = len(node.input) == 2 and node.input[1] in self.constants  # pads of all axes
        if mode == "constant" or not known or not shape or math.prod(shape) != max(shape):
            return None
        source, places = self.origin(node.input[0])
        pads = self.constants[node.input[1]].reshape(2, -1).T.tolist()
        padded = np.pad(places.reshape(shape), pads, mode=mode)
        if padded.size * math.prod(self.sizes[source]) > MAX_KERNEL:
            return None
        (out,) = node.output
        self.copies[out] = (source, padded.ravel())
        made = f"{out}_4d"
        back = [made, self.constant(f"{out}_shape", np.array(padded.shape))]
        return [
            *self.copying(source, padded.ravel(), made),
            helper.make_node("Reshape", back, [out], name=out),
        ]

    def framed(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """In the place of a Conv over overlapping frames of one channel.

        The samples of a hop become channels, so its kernel (outputs, 1, k hops) is (outputs, hop,
        1, k). The converter cuts longer ones into pieces of 16 taps.
        """
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        shape = self.sizes.get(node.input[0], [])
        kernel = self.constants.get(node.input[1])
        hop = given.get("strides", [1])[0]
        plain = not any(given.get("pads", [])) and set(given.get("dilations", [1])) == {1}
        plain &= given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        if len(shape) != 3 or shape[:2] != [1, 1] or kernel is None or not plain:
            return None
        frame = kernel.shape[2]
        source, places = self.origin(node.input[0])
        if hop == 1 or frame % hop or len(places) * math.prod(self.sizes[source]) > MAX_KERNEL:
            return None
        steps = (shape[2] - frame) // hop + 1
        (out,) = node.output
        hops = [f"{out}_hop{k}" for k in range(steps + frame // hop - 1)]
        nodes = []
        for k, name in enumerate(hops):
            nodes += self.copying(source, places[k * hop : (k + 1) * hop], name)
        columns = kernel.reshape(len(kernel), -1, hop).swapaxes(1, 2)[:, :, None]
        joined = f"{out}_hops"
        inputs = [joined, self.constant(f"{out}_kernel", columns), *node.input[2:]]
        made = f"{out}_4d"
        back = [made, self.constant(f"{out}_shape", np.array([1, len(kernel), steps]))]
        width = frame // hop
        return [
            *nodes,
            helper.make_node("Concat", hops, [joined], name=joined, axis=3),
            helper.make_node("Conv", inputs, [made], name=made, kernel_shape=[1, width]),
            helper.make_node("Reshape", back, [out], name=out),
        ]


def _for_npu(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same in operators that the converter takes well."""
    inferred = onnx.shape_inference.infer_shapes(_older(model), strict_mode=True, data_prop=True)
    graph = inferred.graph
    sizes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rewriting = _Rewriting(graph, sizes, constants)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        made = None
        if node.op_type == "Pad":
            made = rewriting.padded(node)
        elif node.op_type == "Conv":
            made = rewriting.framed(node)
        elif node.op_type in RESHAPES and node.input[0] in rewriting.copies:
            rewriting.copies[node.output[0]] = rewriting.copies[node.input[0]]
        nodes += [node] if made is None else made
    _keep(graph, _used(nodes, {value.name for value in graph.output}))
    return inferred


def _older(model: onnx.ModelProto) -> onnx.ModelProto:
    """In the newest opset that the converter reads, if ONNX can say it so."""
    opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if opset <= OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception:  # of C++: lint then names the opset
        return model


def _used(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def _keep(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """These nodes, and the constants that they read."""
    read = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(constants)
