"""The rules of lint on operators, and the table that they look into."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_lstm_export.npu.rknn.lint import lint
from edge_lstm_export.npu.rknn.lint_operators import _file, operators, outcome
from helpers.lint_graphs import node, random
from helpers.operator_graphs import GRAPHS
from helpers.operator_makers import graph as made


def test_table_has_every_operator_of_onnx_up_to_opset_19():
    """GroupNormalization is deprecated up to opset 20: ONNX's checker refuses it."""
    known = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == "" and schema.since_version <= 19
    }
    assert known - set(operators()) == {"GroupNormalization"}
    assert set(operators()) == set(GRAPHS)


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_of_a_row_has_its_operator(name):
    assert name.split()[0] in {n.op_type for n in GRAPHS[name]().graph.node}


@pytest.mark.parametrize("pair", _file()["measured"])
def test_row_is_found_by_target_and_scheme(pair):
    """Each graph of the table gets the finding of its row, and a clean one none of an operator."""
    finding = {
        "cpu": {"operator-on-cpu"},
        "error": {"operator-logs-error"},
        "refused": {"operator-refused"},
        "crash": {"operator-refused"},
        "npu": set(),
    }
    own = {"LSTM", "If", "Loop", "Scan"}
    for name, graph in GRAPHS.items():
        found = {f.rule for f in lint(graph(), *pair.split()) if f.rule.startswith("operator-")}
        expected = finding[outcome(name, *pair.split())]
        assert name in own or expected <= found, name


@pytest.mark.parametrize(
    ("row", "target", "scheme", "expected"),
    [
        ("Abs", "rk3588", "fp16", "npu"),
        ("Cos", "rk3588", "fp16", "cpu"),
        ("Cos", "rk3576", "fp16", "npu"),
        ("Greater", "rk3588", "w8a8", "error"),
        ("GRU", "rv1106", "w8a8", "error"),
        ("GRU", "rv1103", "w8a8", "error"),
        ("Transpose", "rk3568", "fp16", "cpu"),
        ("NonZero", "rk2118", "fp16", "refused"),
        ("Resize cubic", "rk3566", "fp16", "crash"),
        ("Gelu", "rk3588", "fp16", ""),
    ],
)
def test_outcome_of_a_row(row, target, scheme, expected):
    assert outcome(row, target, scheme) == expected


def test_all_that_a_graph_has_is_listed_at_once():
    nodes = [
        node("Exp", ["x"], ["a"]),
        node("Exp", ["a"], ["b"]),
        node("NonZero", ["b"], ["n"]),
        node("Cast", ["n"], ["m"], to=1),
        helper.make_node("Foo", ["b"], ["d"], name="d", domain="my.own"),
        node("Greater", ["b", "d"], ["y"]),
    ]
    graph = made(nodes, outputs=["m", "y"], domains=("my.own",))
    found = [(f.rule, f.message) for f in lint(graph, "rk3588", "fp16")]
    assert [rule for rule, _ in found if rule != "output-not-4d"] == [
        "custom-domain",
        "operator-refused",
        "operator-logs-error",
        "operator-on-cpu",
        "operator-on-cpu",
    ]
    assert found[-2][1] == "2 × Exp, the first Exp 'a', goes to the CPU"


def test_what_is_constant_or_not_needed_is_not_reported():
    """The converter was seen to fold the first and to drop the second."""
    nodes = [
        node("Cos", ["k"], ["a"]),
        node("NonZero", ["x"], ["unused"]),
        node("Mul", ["x", "a"], ["y"]),
    ]
    assert lint(made(nodes, {"k": random(1, 16, 1, 1)}), "rk3588", "fp16") == []


def test_norm_of_primitives_is_looked_up_as_a_norm():
    """The converter makes one operator of it, which rv1106 has not."""
    nodes = [
        node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        node("Sub", ["x", "m"], ["d"]),
        node("Mul", ["d", "d"], ["q"]),
        node("ReduceMean", ["q", "axes"], ["v"], keepdims=1),
        node("Add", ["v", "eps"], ["e"]),
        node("Sqrt", ["e"], ["s"]),
        node("Div", ["d", "s"], ["y"]),
    ]
    graph = made(nodes, {"axes": np.array([1]), "eps": np.float32(1e-5)})
    assert lint(graph, "rk3588", "fp16") == []
    assert [f.rule for f in lint(graph, "rv1106", "w8a8")] == ["operator-logs-error"]


DATA = Path(os.environ.get("EDGE_LSTM_DATA", "data")) / "nets"


# As the real converter takes them: its error lines, and what it puts on the CPU.
@pytest.mark.skipif(not DATA.is_dir(), reason="EDGE_LSTM_DATA has no nets")
@pytest.mark.parametrize(
    ("name", "target", "scheme", "expected"),
    [
        ("dtln_1", "rk3588", "fp16", {"output-not-4d"}),
        ("dtln_1", "rk3566", "fp16", {"output-not-4d", "input-not-4d"}),
        ("dtln_1", "rv1106", "w8a8", set()),
        ("dtln_2", "rk3588", "fp16", set()),
        ("dtln_2", "rk3566", "fp16", {"operator-on-cpu"}),
        ("dtln_2", "rv1106", "w8a8", {"operator-logs-error"}),
        ("silero_vad_16k_sequence", "rk3588", "fp16", {"output-not-4d", "dynamic-shape"}),
        ("silero_vad_16k_sequence", "rv1106", "w8a8", {"operator-on-cpu", "dynamic-shape"}),
    ],
)
def test_public_nets(name, target, scheme, expected):
    graph = onnx.load(DATA / f"{name}.onnx")
    assert {f.rule for f in lint(graph, target, scheme)} == expected
