"""A graph as one step of fixed shapes: what can be folded is, and hidden states are exposed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edge_lstm_runtime.errors import ConversionError

from .load import FLOAT, reason, subgraphs
from .nodes import INITIAL
from .original import SILENT
from .trace import DOMAINS

OUTPUT = {"h": 1, "c": 2}  # the place among the outputs of a recurrent operator
RECURRENT = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}
Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def session(model: onnx.ModelProto) -> Any:
    """Raises ConversionError if ONNX Runtime refuses the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    return _opened(model, options)


def _opened(model: onnx.ModelProto, options: Any) -> Any:
    import onnxruntime

    try:
        # Without the fallback it prints the error, and tries the same once more.
        return onnxruntime.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
        )
    except Exception as e:  # its errors have no other base class
        raise ConversionError(f"ONNX Runtime does not take the net: {reason(e)}") from e


def run(session: Any, outputs: list[str], feeds: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Raises ConversionError."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = SILENT
    try:
        found: list[Any] = session.run(outputs, dict(feeds), options)
    except Exception as e:  # its errors have no other base class
        raise ConversionError(f"ONNX Runtime does not run the net: {reason(e)}") from e
    return found


def fixed(model: onnx.ModelProto, shapes: Shapes) -> onnx.ModelProto:
    """With these shapes of the inputs, and folded by ONNX Runtime's basic level.

    Raises ConversionError for a graph whose course depends on its inputs.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.input[:]
    for name, shape in shapes.items():
        graph.input.append(helper.make_tensor_value_info(name, FLOAT, shape))
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    folded = _basic(copy)
    _drop_defaults(folded)
    for node in folded.graph.node:
        if any(True for _ in subgraphs(node)):
            name = node.name or node.output[0]
            raise ConversionError(
                f"{node.op_type} {name!r} has graphs inside that depend on its inputs: "
                "export the net without"
            )
    return folded


def _basic(model: onnx.ModelProto) -> onnx.ModelProto:
    """As ONNX Runtime's basic level writes it. The level folds an `If` of a known condition."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "basic.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = SILENT
        _opened(model, options)
        folded = onnx.load_model(path)
    used = {node.domain for node in folded.graph.node}
    kept = [o for o in folded.opset_import if o.domain in (*DOMAINS, *used)]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    return folded


def _drop_defaults(model: onnx.ModelProto) -> None:
    """`layout` of 0, which is the default, and which the converter of an NPU refuses."""
    for node in model.graph.node:
        kept = [a for a in node.attribute if not (a.name == "layout" and a.i == 0)]
        if node.op_type in RECURRENT and len(kept) < len(node.attribute):
            del node.attribute[:]
            node.attribute.extend(kept)


def exposed(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, str], dict[str, Shape]]:
    """States of recurrent operators that the graph starts at zero become inputs and outputs.

    Returns the graph, the pairs of input and output, and the shapes. An operator over more than one
    step goes over something else than time, such as frequency, and keeps its zeros. Raises
    ConversionError for an operator over time that reads both ways.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    sizes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.input)
    }
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs: dict[str, str] = {}
    shapes: dict[str, Shape] = {}
    for node in model.graph.node:
        if node.op_type not in RECURRENT or sizes.get(node.input[0], [0])[0] != 1:
            continue
        name = node.name or next(filter(None, node.output))
        for state in RECURRENT[node.op_type]:
            place = INITIAL[state]
            before = node.input[place] if place < len(node.input) else ""
            if before and before not in constants:
                continue
            if before and constants[before].any():
                raise ConversionError(
                    f"{node.op_type} {name!r} starts {state} at other values than zero"
                )
            weights = constants.get(node.input[2])
            if weights is None or len(weights) != 1:
                raise ConversionError(
                    f"{node.op_type} {name!r} reads both ways: a single step has no answer"
                )
            node.input.extend([""] * (place + 1 - len(node.input)))
            node.output.extend([""] * (OUTPUT[state] + 1 - len(node.output)))
            node.input[place] = f"{name}.initial_{state}"
            node.output[OUTPUT[state]] = node.output[OUTPUT[state]] or f"{name}.Y_{state}"
            pairs[node.input[place]] = node.output[OUTPUT[state]]
            shapes[node.input[place]] = (1, 1, int(weights.shape[2]))
    there = {value.name for value in model.graph.output}
    for name, output in pairs.items():
        model.graph.input.append(helper.make_tensor_value_info(name, FLOAT, shapes[name]))
        if output not in there:
            model.graph.output.append(helper.make_tensor_value_info(output, FLOAT, None))
    return model, pairs, shapes


def zeros(shapes: Shapes) -> dict[str, NDArray[np.float32]]:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
