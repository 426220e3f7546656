"""A form in which a model is offered to an NPU's converter."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec

from .builder import state_name

Calibration = Mapping[str, NDArray[np.float32]]


@dataclasses.dataclass(frozen=True)
class Form:
    """graph: ONNX. recipe: JSON by which the worker builds the graph and the runtime feeds it. The
    manifest keeps it in the artifact's row:

    io             see Packing
    float16        tensors that are not quantized
    ranges         tensor -> (min, max), if the calibration set doesn't decide
    disable_rules  optimizations of the converter that would undo the recipe

    traced: each tensor that can be looked at -> the layer, and its cell's names of the parts
    """

    name: str
    graph: onnx.ModelProto
    recipe: dict[str, Any]
    traced: Mapping[str, tuple[str, tuple[str, ...]]] = dataclasses.field(default_factory=dict)

    @property
    def steps(self) -> int:
        """The number of steps that the graph takes at once."""
        steps: int = self.recipe["io"].get("steps", 1)
        return steps

    @property
    def label(self) -> str:
        """For names of files: the form, and its steps if it takes several."""
        return self.name if self.steps == 1 else f"{self.name}-t{self.steps}"

    def with_traces(self, spec: ModelSpec) -> Form:
        """With the traced tensors as further outputs."""
        graph = onnx.ModelProto()
        graph.CopyFrom(self.graph)
        there = {value.name for value in graph.graph.output}
        for name, size in traced_outputs(spec, self).items():
            if name not in there:
                kind = onnx.TensorProto.FLOAT
                graph.graph.output.append(
                    onnx.helper.make_tensor_value_info(name, kind, [1, size, 1, 1])
                )
        onnx.checker.check_model(graph, full_check=True)
        return dataclasses.replace(self, graph=graph)


def traced_outputs(spec: ModelSpec, form: Form) -> dict[str, int]:
    """The outputs of a graph with traces, in order, and their sizes."""
    network = spec.network
    sizes = {"y": spec.answer.size}
    sizes |= {state_name(name, "out"): size for name, size in network.state.items()}
    for name, (layer, parts) in form.traced.items():
        sizes.setdefault(name, len(parts) * network.sizes[layer][1])
    return sizes
