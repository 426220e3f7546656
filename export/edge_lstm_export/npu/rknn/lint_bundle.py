"""The graphs of a bundle that lint looks at: those that its converted models are made from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from edge_lstm_runtime.backends.artifacts import artifacts_of
from edge_lstm_runtime.backends.rknn.board import KIND
from edge_lstm_runtime.model.bundle import Bundle
from edge_lstm_runtime.model.step_graph import StepGraph

from ...graphs.checked import checked
from ...graphs.step_npu import four_d
from ...importers.edge import step_of
from ..finding import Finding
from .lint import lint


def lint_bundle(bundle: Bundle, target: str, scheme: str) -> Mapping[str, list[Finding]]:
    graphs = _graphs(bundle)
    return {name: lint(graph, target, scheme) for name, graph in graphs.items()}


def _graphs(bundle: Bundle) -> dict[str, onnx.ModelProto]:
    if isinstance(bundle.spec.network, StepGraph):
        return {"the form for an NPU": _form_of_step(bundle)}
    entries = artifacts_of(bundle, KIND).values()
    names = dict.fromkeys(entry.get("graph", "cell.onnx") for entry in entries)
    # A bidirectional model has no cell.
    streamed = "cell.onnx" if "cell.onnx" in bundle.members else "model.onnx"
    return {name: checked(name, bundle.member(name)) for name in names or (streamed,)}


def _form_of_step(bundle: Bundle) -> onnx.ModelProto:
    """What an export converts of an opaque step graph."""
    step = step_of(bundle)
    rows = bundle.golden[0].astype(np.float32)
    return four_d(bundle.spec, step.model, rows).graph
