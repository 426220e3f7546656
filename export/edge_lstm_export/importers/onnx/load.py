"""The file, checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.shown import in_a_line

MAX_BYTES = 512 * 2**20  # of the file, and of its external data
FLOAT = onnx.TensorProto.FLOAT


def load(path: Path) -> onnx.ModelProto:
    """The model, with its external data and without local functions. Raises ConversionError."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ConversionError(f"{path}: has {size:,} bytes, expected at most {MAX_BYTES:,}")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as e:  # protobuf's errors have no other base class
        raise ConversionError(f"{path}: is truncated, or no ONNX file") from e
    if not model.graph.node:
        raise ConversionError(f"{path}: is truncated, or no ONNX file: its graph has no nodes")
    try:
        _check_external(path, model)
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model, full_check=True)
        return onnx.inliner.inline_local_functions(model) if model.functions else model
    except ConversionError:
        raise
    except Exception as e:  # its errors have no other base class
        raise ConversionError(f"{path}: ONNX's checker refuses it: {reason(e)}") from e


def reason(error: Exception) -> str:
    """The error in one line. Its first lines say what is wrong, the others where in C++."""
    return in_a_line(" ".join(str(error).split())[:300])


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for inner in subgraphs(node):
            yield from _tensors(inner)


def _check_external(path: Path, model: onnx.ModelProto) -> None:
    """External data must be a file of the model's folder: a model could name any other to read."""
    folder = path.parent.resolve()
    total = 0
    files: set[Path] = set()
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        file = (folder / where).resolve()
        if not file.is_relative_to(folder):
            raise ConversionError(
                f"{path}: tensor {tensor.name!r} has its data in {where!r}, outside of the folder "
                "of the model; put the file beside the model"
            )
        if not file.is_file():
            raise ConversionError(
                f"{path}: tensor {tensor.name!r} has its data in {where!r}, and there is no such "
                "file; put it beside the model"
            )
        if file not in files:
            files.add(file)
            total += file.stat().st_size
    if total > MAX_BYTES:
        raise ConversionError(
            f"{path}: its external data has {total:,} bytes, expected at most {MAX_BYTES:,}"
        )
