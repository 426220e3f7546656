"""Step 3: onnxsim folds what it can.

The names and shapes of inputs and outputs must come through unchanged.
"""

from __future__ import annotations

import dataclasses

import onnx
import onnxsim

from edge_lstm_runtime import ConversionError

from ..work import Work


def call(work: Work) -> Work:
    if work.step is not None:  # its importer has done it, before the proof
        return work
    return dataclasses.replace(
        work, graphs={form: _simplify(graph, form) for form, graph in work.graphs.items()}
    )


def _simplify(graph: onnx.ModelProto, form: str) -> onnx.ModelProto:
    simplified: onnx.ModelProto
    simplified, consistent = onnxsim.simplify(graph)
    if not consistent:
        raise ConversionError(
            f"onnxsim's result for the {form} form does not compute the same "
            "as the graph it was made from"
        )
    if _interface(simplified) != _interface(graph):
        raise ConversionError(
            f"onnxsim changed the inputs or outputs of the {form} form: "
            f"{_interface(simplified)}, expected {_interface(graph)}"
        )
    return simplified


def _interface(model: onnx.ModelProto) -> list[tuple[str, list[int]]]:
    values = [*model.graph.input, *model.graph.output]
    return [(v.name, [d.dim_value for d in v.type.tensor_type.shape.dim]) for v in values]
