"""The rules of lint, each with a small graph that breaks it and the nearest one that does not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.npu.rknn.lint import RULES, lint
from edge_lstm_export.npu.rknn.targets import table, targets
from edge_lstm_export.npu.targets import find
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.bundle import write_bundle
from edge_lstm_runtime.model.npz import write_npz
from helpers.lint_graphs import OFFERED, PAIRS, QUIET, cell, lstm, node, random
from helpers.lint_pairs import MORE_PAIRS, MORE_QUIET
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
        assert set(t.schemes) | set(t.refused) == set(table().schemes), t.name
        assert not set(t.schemes) & set(t.refused), t.name
        assert t.python in ("yes", "no", "unknown")
        for fact, keys in t.sources.items():
            assert keys, (t.name, fact)
            assert all(table().source(key) for key in keys)
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
    for title in ("Arm Ethos-U:", "Rockchip:"):
        assert shown.splitlines().count(title) == 1
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


def test_verb_takes_the_schemes_of_an_export(tmp_path, capsys):
    path = tmp_path / "graph.onnx"
    path.write_bytes(conv().SerializeToString())
    main(["lint", str(path), "--target", "rk3588"])
    shown = capsys.readouterr().out.splitlines()
    assert {line.split(":")[0] for line in shown} == {f"fp16, {path}", f"w8a8, {path}"}


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"not a graph", ["--target", "rk3588", "--scheme", "fp16"], "is not a valid ONNX graph"),
        (b"", ["--target", "rk3588", "--scheme", "fp16"], "is not a valid ONNX graph"),
        (None, ["--target", "rk3588", "--scheme", "fp16"], "No such file"),
        (b"", [], "lint needs --target"),
        (b"", ["--target", "rk3589"], "target 'rk3589' is unknown; did you mean 'rk3588'?"),
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
