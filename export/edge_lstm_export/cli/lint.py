"""Check a graph for what the vendor's converter can't take."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_lstm_runtime import ConfigError, kinds
from edge_lstm_runtime.model.bundle import read_bundle

from ..graphs.checked import checked
from ..npu.finding import Finding
from ..npu.target import Target
from ..npu.targets import known
from ..npu.vendor import vendor, vendors

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
    parser.add_argument(
        "--scheme", metavar="NAME", help="a number format (default: those of an export)"
    )
    parser.add_argument("--rules", action="store_true", help="list the rules instead")


def main(arguments: argparse.Namespace) -> int:
    if arguments.rules:
        _list_rules()
        return 0
    for option, value in (("a graph", arguments.graph), ("--target", arguments.target)):
        if value is None:
            raise ConfigError(
                f"lint needs {option}; as in: "
                "edge-lstm lint model.onnx --target rk3588 --scheme w8a8"
            )
    failed = 0
    target = known(arguments.target)
    schemes = [arguments.scheme] if arguments.scheme is not None else target.default
    found = {
        f"{scheme}, {name}" if len(schemes) > 1 else name: findings
        for scheme in schemes
        for name, findings in _findings(target, arguments.graph, scheme).items()
    }
    for name, findings in found.items():
        failed += any(f.level == "error" for f in findings)
        prefix = f"{name}: " if len(found) > 1 else ""
        print("\n".join(f"{prefix}{finding}" for finding in findings) or f"{prefix}no findings")
    return 1 if failed else 0


def _list_rules() -> None:
    with_rules = [one for one in vendors() if one.rules()]
    for one in with_rules:
        if len(with_rules) > 1:
            print(f"--- {one.title} ---")
        for name, rule in one.rules().items():
            told = textwrap.fill(rule.doc, 118, initial_indent="  ", subsequent_indent="  ")
            print(f"{name} ({rule.level})\n{told}")


def _findings(target: Target, path: Path, scheme: str) -> Mapping[str, Sequence[Finding]]:
    """Of an ONNX file, or of what an export converts of a bundle, by name."""
    its = vendor(target.vendor)
    if path.suffix == ".edge":
        return its.lint_bundle(read_bundle(path), target.name, scheme)
    return {str(path): its.lint(_from_file(path), target.name, scheme)}


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
    graph = checked(str(path), content, path)
    for tensor in graph.graph.initializer:
        if len(tensor.raw_data) > LARGE:
            tensor.ClearField("raw_data")
            tensor.data_location = type(tensor).EXTERNAL
    return graph
