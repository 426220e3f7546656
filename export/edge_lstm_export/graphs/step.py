"""The graph of an opaque step: its float64 reference, its weights, its form for an NPU.

The graph has the inputs x and each state NAME_in, and the outputs y and each state NAME_out, in
the shapes that the net's own tool gave them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_lstm_runtime import Backend, ConversionError, ModelSpec
from edge_lstm_runtime.backends.onnx import onnx_backend
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.step_graph import StepGraph
from edge_lstm_runtime.shown import in_a_line
from edge_lstm_runtime.tasks.values import Values

FORM = "step"
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
DOUBLE = onnx.TensorProto.DOUBLE
TYPES = {"to", "dtype"}  # attributes that name a type
Weights = Mapping[str, NDArray[np.float32]]


@dataclasses.dataclass(frozen=True)
class StepModel:
    """model: in float32, as the backend `onnx` runs it."""

    network: StepGraph
    model: onnx.ModelProto

    @functools.cached_property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The float32 constants of two axes and more, by their names in the graph."""
        found = {}
        for tensor in self.model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
                found[tensor.name] = numpy_helper.to_array(tensor)
        return found

    @functools.cached_property
    def spec(self) -> ModelSpec:
        """Of the bare network: its features are channels, its outputs values."""
        count = self.network.features
        names = tuple(f"x{k}" for k in range(count))
        channels = Channels(names, (0.0,) * count, (1.0,) * count)
        return ModelSpec(
            channels, self.network, Values(tuple(f"y{k}" for k in range(self.network.outputs)))
        )

    def backend(self, weights: Weights | None = None) -> Backend:
        """ONNX Runtime in float32. weights: others than the graph's."""
        model = self.model
        if weights is not None:
            model = _copy(model)
            for tensor in model.graph.initializer:
                if tensor.name in weights:
                    tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
        return onnx_backend(self.spec, model.SerializeToString())

    def reference(self) -> Backend:
        """In float64, by onnx.reference. In float32 by ONNX Runtime if that fails."""
        if self.why_not_double:
            return self.backend()
        return StepReference(self.network, self.model)

    @functools.cached_property
    def why_not_double(self) -> str:
        """Why onnx.reference can't be the reference, "" if it is."""
        try:
            StepReference(self.network, self.model).step(np.zeros(self.network.features))
        except ConversionError as e:
            return str(e)
        return ""

    @property
    def words(self) -> str:
        """What the reference is."""
        if why := self.why_not_double:
            return f"ONNX Runtime {onnxruntime.__version__} in float32, because {why}"
        return f"onnx.reference {onnx.__version__} in float64"


class StepReference(Reference):
    """onnx.reference on the graph with all tensors in float64.

    Raises ConversionError if it has no implementation of an operator, or none in float64.
    """

    def __init__(self, network: StepGraph, model: onnx.ModelProto):
        graph = in_double(model)
        self._network = network
        self._shapes = network.graph_inputs
        self._outputs = [value.name for value in graph.graph.output]
        try:
            self._evaluator = ReferenceEvaluator(graph)
        except Exception as e:  # its errors have no other base class
            raise ConversionError(f"onnx.reference does not take the net: {_words(e)}") from e
        self.reset()

    def step(self, features: NDArray[Any]) -> NDArray[np.float64]:
        feeds = dict(zip(self._shapes, [features, *self._state.values()], strict=True))
        shaped = {
            name: np.asarray(value, np.float64).reshape(self._shapes[name])
            for name, value in feeds.items()
        }
        try:
            with np.errstate(all="ignore"):
                found = self._evaluator.run(self._outputs, shaped)
        except Exception as e:  # of NumPy, of the evaluator: they have no other base class
            raise ConversionError(f"onnx.reference does not run the net: {_words(e)}") from e
        y, *states = (np.asarray(array) for array in found)
        single = [o for o, a in zip(self._outputs, found, strict=True) if a.dtype != np.float64]
        if single:
            raise ConversionError(f"onnx.reference computes {single[0]!r} in fewer bits")
        self._state = dict(zip(self._state, (s.ravel() for s in states), strict=True))
        return y.ravel()


def _words(error: Exception) -> str:
    return in_a_line(" ".join(str(error).split())[:200])


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with float64 in place of float32 and float16: constants, casts, inputs, outputs."""
    copy = _copy(model)
    _double(copy.graph)
    return copy


def _double(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _widen(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen(attribute.t)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                _double(attribute.g)
            elif attribute.name in TYPES and attribute.i in FLOATS:
                attribute.i = DOUBLE
            elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                value = np.asarray(helper.get_attribute_value(attribute), np.float64)
                tensor = numpy_helper.from_array(value)
                attribute.CopyFrom(helper.make_attribute("value", tensor))
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = DOUBLE
    del graph.value_info[:]


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in FLOATS:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
