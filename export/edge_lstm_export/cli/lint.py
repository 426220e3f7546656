"""Check a graph for what the vendor's converter can't take."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from edge_lstm_runtime import ConfigError

from ..npu.rknn.lint import RULES, lint
from .export import _graphs


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
