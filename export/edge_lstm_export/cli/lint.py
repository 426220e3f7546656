"""Check a graph for what the vendor's converter can't take."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_lstm_runtime import ConfigError, kinds
from edge_lstm_runtime.model.bundle import Bundle, read_bundle
from edge_lstm_runtime.model.step_graph import StepGraph

from ..importers.edge import step_of
from ..npu.rknn.lint import RULES, lint

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31 - 1  # of a file: protobuf reads no more
LARGE = 2**16  # bytes of a tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check an ONNX graph, or the graphs of a bundle, for what the vendor's converter can't "
        "take or takes badly, without starting it.\n"
        "One finding a line, with what to change. Exit code 1 when one is an error."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm lint model.onnx --target rk3588 --scheme w8a8\n"
        "  edge-lstm lint --rules"
    )
    parser.add_argument(
        "graph", nargs="?", type=Path, metavar="GRAPH.onnx|BUNDLE.edge", help="what to check"
    )
    parser.add_argument("--target", metavar="NAME", help="an NPU of `edge-lstm targets`")
    parser.add_argument("--scheme", metavar="NAME", help="a number format")
    parser.add_argument("--rules", action="store_true", help="list the rules instead")


def main(arguments: argparse.Namespace) -> int:
    if arguments.rules:
        for name, rule in RULES.items():
            print(
                f"{name} ({rule.level})\n"
                + textwrap.fill(rule.doc, 118, initial_indent="  ", subsequent_indent="  ")
            )
        return 0
    for option, value in (
        ("a graph", arguments.graph),
        ("--target", arguments.target),
        ("--scheme", arguments.scheme),
    ):
        if value is None:
            raise ConfigError(
                f"lint needs {option}; as in: "
                "edge-lstm lint model.onnx --target rk3588 --scheme w8a8"
            )
    failed = 0
    graphs = _graphs(arguments.graph)
    for name, graph in graphs.items():
        findings = lint(graph, arguments.target, arguments.scheme)
        failed += any(f.level == "error" for f in findings)
        prefix = f"{name}: " if len(graphs) > 1 else ""
        print("\n".join(f"{prefix}{finding}" for finding in findings) or f"{prefix}no findings")
    return 1 if failed else 0


def _graphs(path: Path) -> dict[str, onnx.ModelProto]:
    """The graph of an ONNX file, or those that a bundle's converted models are made from."""
    if path.suffix != ".edge":
        return {str(path): _from_file(path)}
    bundle = read_bundle(path)
    if isinstance(bundle.spec.network, StepGraph):
        return {"the form for an NPU": _form_of_step(bundle)}
    names = dict.fromkeys(
        entry.get("graph", "cell.onnx") for entry in bundle.manifest.get("artifacts", {}).values()
    )
    # A bidirectional model has no cell.
    streamed = "cell.onnx" if "cell.onnx" in bundle.members else "model.onnx"
    return {name: _checked(name, bundle.member(name)) for name in names or (streamed,)}


def _form_of_step(bundle: Bundle) -> onnx.ModelProto:
    """What an export converts of an opaque step graph."""
    from ..graphs.step_npu import four_d

    step = step_of(bundle)
    rows = bundle.golden[0].astype(np.float32)
    return four_d(bundle.spec, step.model, rows).graph


def _from_file(path: Path) -> onnx.ModelProto:
    """Without its large weights, which no rule looks at."""
    if other := kinds.mistaken(path, kinds.GRAPH):
        raise ConfigError(other)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(
                f"{path} has {size:,} bytes, expected at most {MAX_BYTES:,}; "
                "keep its weights in external data"
            )
        content = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"can't read {path}: {e.strerror or e}") from e
    graph = _checked(str(path), content, path)
    for tensor in graph.graph.initializer:
        if len(tensor.raw_data) > LARGE:
            tensor.ClearField("raw_data")
            tensor.data_location = type(tensor).EXTERNAL
    return graph


def _checked(name: str, content: bytes, path: Path | None = None) -> onnx.ModelProto:
    """path: where it is from. External data is beside it."""
    import onnx

    try:
        graph = onnx.load_model_from_string(content)
        # By its path, the checker finds external data, and refuses what is outside of the folder.
        onnx.checker.check_model(str(path) if path else graph)
    except Exception as e:  # the parser and the checker may raise almost any
        reason = next((line for line in str(e).splitlines() if line.strip()), type(e).__name__)
        raise ConfigError(f"{name} is not a valid ONNX graph: {reason}") from e
    return graph
