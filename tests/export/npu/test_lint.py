"""The rules of lint, each with a small graph that breaks it and the nearest one that does not."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.npu.rknn.lint import RULES, lint
from edge_lstm_export.npu.rknn.lint_operators import _file, operators, outcome
from edge_lstm_export.npu.targets import find, schemes, source, targets
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.bundle import write_bundle
from edge_lstm_runtime.model.npz import write_npz
from helpers.lint_graphs import OFFERED, PAIRS, QUIET, cell, lstm, node, random
from helpers.lint_pairs import MORE_PAIRS, MORE_QUIET
from helpers.operator_graphs import GRAPHS
from helpers.operator_makers import graph as made
from helpers.operator_rows import document_rows
from helpers.operator_singles import conv
from helpers.paths import ROOT
from helpers.specs import least_spec
from helpers.weights import random_weights

ALL_PAIRS = PAIRS + MORE_PAIRS
DOCUMENT = (ROOT / "docs" / "rknn-rules.md").read_text("utf-8")


# --- graphs ---


@pytest.mark.parametrize(
    ("rule", "wrong", "there", "right", "here", "part"), ALL_PAIRS + QUIET + MORE_QUIET
)
def test_rule_and_the_nearest_graph_that_keeps_it(rule, wrong, there, right, here, part):
    (found,) = [f for f in lint(wrong(), *there) if f.rule == rule]
    assert found.level == RULES[rule].level
    assert part in f"{found.message}; {found.advice}"
    assert str(found) == f"{found.level}: {rule}: {found.message}; {found.advice}"
    assert "\n" not in str(found)
    assert rule not in {f.rule for f in lint(right(), *here)}


def test_every_rule_has_a_pair():
    assert {case[0] for case in ALL_PAIRS + QUIET + MORE_QUIET} == set(RULES)


@pytest.mark.parametrize(("right", "here"), [case[3:5] for case in ALL_PAIRS])
def test_the_right_graph_of_a_pair_has_no_error_at_all(right, here):
    assert [str(f) for f in lint(right(), *here) if f.level == "error"] == []


@pytest.mark.parametrize(("target", "scheme"), [p for p in OFFERED if p[1] != "w16a16i_dfp"])
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (16, 1), (60, 2), (64, 4)])
def test_our_cell_has_no_findings_where_its_scheme_is_offered(target, scheme, hidden, layers):
    assert [str(f) for f in lint(cell(H=hidden, layers=layers), target, scheme)] == []


@pytest.mark.parametrize("target", ["rv1103", "rv1106"])
def test_our_cell_in_int16_needs_aligned_inputs(target):
    assert [f.rule for f in lint(cell(F=6), target, "w16a16i_dfp")] == ["int16-concat"]
    assert lint(cell(F=8, H=20), target, "w16a16i_dfp") == []


@pytest.mark.parametrize(
    ("target", "scheme"), [(t, s) for t, s in OFFERED if targets()[t].lstm_npu and s != "w4a16"]
)
def test_the_bare_operator_has_no_findings_where_the_npu_has_it(target, scheme):
    assert [str(f) for f in lint(lstm(), target, scheme)] == []


def test_chained_operators_are_clean():
    """Y_h, or Y through Squeeze, as the next layer's x was observed clean.

    This holds even if hidden is no multiple of the layout's.
    """
    second = node(
        "LSTM", ["x1", "W2", "R2", "B2", "", "h", "c"], ["Y2", "Yh2", "Yc2"], hidden_size=20
    )
    constants = {
        "axes": np.array([1]),
        "W2": random(1, 80, 20),
        "R2": random(1, 80, 20),
        "B2": random(1, 160),
    }
    graph = lstm(
        T=4,
        H=20,
        after=[node("Squeeze", ["Y", "axes"], ["x1"]), second],
        ends={"Y2": [4, 1, 1, 20]},
        constants=constants,
    )
    assert {f.rule for f in lint(graph, "rk3566", "fp16")} == {"hidden-not-aligned"}


@pytest.mark.parametrize(
    ("target", "scheme", "message"),
    [
        ("rk9999", "fp16", "target 'rk9999' is unknown; known: rk3588"),
        ("rk3588", "w8a9", "scheme 'w8a9' is unknown; did you mean 'w8a8'? known: fp16, w8a8"),
    ],
)
def test_unknown_names(target, scheme, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        lint(cell(), target, scheme)


# --- the table ---


def test_every_scheme_of_the_converter_is_offered_or_refused_with_a_reason():
    assert (
        " ".join(targets())
        == "rk3588 rk3576 rk3566 rk3568 rk3562 rv1126b rv1103 rv1106 rv1103b rv1106b rk2118"
    )
    for t in targets().values():
        assert set(t.schemes) | set(t.refused) == set(schemes()), t.name
        assert not set(t.schemes) & set(t.refused), t.name
        assert t.python in ("yes", "no", "unknown")
        for fact, keys in t.sources.items():
            assert keys, (t.name, fact)
            assert all(source(key) for key in keys)
        stated = {
            "generation": t.generation,
            "cores": t.cores,
            "tops": t.tops,
            "runtime": t.runtime,
            "boards": t.boards,
            "reshape": t.reshape,
        }
        for fact, value in stated.items():
            assert bool(value) == (fact in t.sources), (
                f"{t.name}: {fact} is {value!r}, and its sources say otherwise"
            )
        assert ("python" in t.sources) == (t.python != "unknown"), t.name


@pytest.mark.parametrize(
    ("target", "scheme", "reason"),
    [
        ("rv1106", "fp16", "(fp16 on rv1106: this NPU has no float16)"),
        (
            "rk3588",
            "w16a16i_dfp",
            "(w16a16i_dfp on rk3588: the manual allows it on rv1103 and rv1106 only)",
        ),
        (
            "rk3562",
            "w8a16",
            "expected one of fp16, w8a8 (w8a16 on rk3562: the manual allows it, but the cell form "
            "crashes",
        ),
    ],
)
def test_a_refusal_says_why(target, scheme, reason):
    with pytest.raises(ConfigError, match=re.escape(reason)):
        find(target, scheme)


def test_targets_are_shown(capsys):
    assert main(["targets"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 120
    assert re.search(
        r"^rk3576 +2 +fp16, w8a8, w4a16 +yes, observed +yes +ArmSoM Sige5", shown, re.MULTILINE
    )
    for name in targets():
        assert main(["targets", name]) == 0
        shown = capsys.readouterr().out
        assert "RK-YH-YF-418" in shown
    assert main(["targets", "rk3589"]) == 2
    assert "there is no target 'rk3589'; did you mean 'rk3588'?" in capsys.readouterr().err


# --- the document ---


def rows(heading):
    body = DOCUMENT.split(heading)[1].split("\n## ")[0]
    return [
        [c.strip() for c in line.strip("|").split("|")]
        for line in body.splitlines()
        if line.startswith("| `")
    ]


def test_document_names_every_rule_with_its_level():
    assert [(cells[0].strip("`"), cells[1]) for cells in rows("# What the RKNN")] == [
        (n, r.level) for n, r in RULES.items()
    ]
    assert all(rule.doc.endswith((".", '"', '".')) for rule in RULES.values())


def test_document_has_the_table_of_operators():
    rows = DOCUMENT.split("## Operators")[1].split("\n## ")[0]
    assert [line for line in rows.splitlines() if line.startswith("| ")][2:] == document_rows()


def test_document_names_every_target_with_its_schemes():
    shown = [
        (c[0].strip("`"), c[1], re.findall(r"`(\w+)`", c[2]), c[3], c[4])
        for c in rows("## Targets")
    ]
    assert shown == [
        (t.name, str(t.cores or "unknown"), list(t.schemes), t.lstm, t.python)
        for t in targets().values()
    ]


# --- operators ---


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


# --- the verb ---


def saved(graph, folder):
    path = folder / "graph.onnx"
    path.write_bytes(graph.SerializeToString())
    return path


def test_verb_on_a_graph(tmp_path, capsys):
    path = saved(lstm(B=2, H=60), tmp_path)
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "fp16"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["error", "recurrent-batch"],
        ["warning", "hidden-not-aligned"],
    ]
    assert lines[1].endswith("LSTM 'Y' has hidden size 60; 64 is the next multiple of 8")
    path = saved(lstm(H=60), tmp_path)
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "fp16"]) == 0
    assert "warning: hidden-not-aligned" in capsys.readouterr().out
    path = saved(cell(), tmp_path)
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "fp16"]) == 0
    assert capsys.readouterr().out == "no findings\n"


def test_verb_on_a_bundle(tmp_path, capsys):
    spec = least_spec()
    weights = random_weights(spec)
    golden = write_npz({"x": np.zeros((3, 1)), "y": np.zeros((3, 1))})
    path = tmp_path / "a.edge"
    write_bundle(
        path,
        spec,
        weights,
        {"golden.npz": golden, "cell.onnx": build(spec, weights, "cell").SerializeToString()},
    )
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "w8a8"]) == 0
    assert capsys.readouterr().out == "no findings\n"
    assert main(["lint", str(path), "--target", "rv1106", "--scheme", "fp16"]) == 1
    assert capsys.readouterr().out.startswith(
        "error: scheme-not-allowed: fp16 on rv1106: this NPU has no float16"
    )


def test_verb_lists_its_rules(capsys):
    assert main(["lint", "--rules"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name} ({rule.level})\n  " in shown for name, rule in RULES.items())
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"not a graph", ["--target", "rk3588", "--scheme", "fp16"], "is not a valid ONNX graph"),
        (b"", ["--target", "rk3588", "--scheme", "fp16"], "is not a valid ONNX graph"),
        (None, ["--target", "rk3588", "--scheme", "fp16"], "No such file"),
        (b"", ["--target", "rk3588"], "lint needs --scheme"),
        (b"", ["--scheme", "fp16"], "lint needs --target"),
    ],
)
def test_verb_answers_a_mistake_in_one_line(tmp_path, capsys, content, arguments, message):
    path = tmp_path / "graph.onnx"
    if content is not None:
        path.write_bytes(content)
    assert main(["lint", str(path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def external(folder, location):
    """A graph whose weights are in a file."""
    graph = conv()
    (weights,) = graph.graph.initializer
    (folder / "sub").mkdir()
    (folder / "sub" / "w.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = weights.EXTERNAL
    weights.external_data.add(key="location", value=location)
    path = folder / "sub" / "graph.onnx"
    path.write_bytes(graph.SerializeToString())
    return path


def test_verb_takes_external_data_beside_the_graph(tmp_path, capsys):
    path = external(tmp_path, "w.bin")
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "fp16"]) == 0
    assert capsys.readouterr().out == "no findings\n"


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "gone.bin"])
def test_verb_refuses_external_data_from_elsewhere(tmp_path, capsys, location):
    path = external(tmp_path, location)
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "fp16"]) == 2
    error = capsys.readouterr().err
    assert location in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_verb_refuses_a_part_of_a_graph_in_one_line(tmp_path, capsys, share):
    path = saved(cell(), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "fp16"]) == 2
    error = capsys.readouterr().err
    assert "is not a valid ONNX graph" in error
    assert error.count("\n") == 1


def test_verb_refuses_a_graph_that_protobuf_cannot_read(tmp_path, capsys):
    path = tmp_path / "graph.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    assert main(["lint", str(path), "--target", "rk3588", "--scheme", "fp16"]) == 2
    assert "has 2,147,483,648 bytes, expected at most" in capsys.readouterr().err
