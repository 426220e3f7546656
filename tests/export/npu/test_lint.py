"""The rules of lint: each with a small graph that breaks it and the nearest one that does not; then the same on the real converter."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.npu.rknn import environment
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.lint import RULES, lint
from edge_lstm_export.npu.rknn.process import Converter
from edge_lstm_export.npu.targets import find, schemes, source, targets
from edge_lstm_runtime import ConfigError, ConversionError
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.bundle import write_bundle
from edge_lstm_runtime.model.npz import write_npz
from helpers.paths import ROOT
from helpers.specs import least_spec, make_spec
from helpers.weights import random_weights

DOCUMENT = (ROOT / "docs" / "rknn-rules.md").read_text("utf-8")

# --- graphs ---


def model(nodes, inputs, outputs, constants, opset=19):
    def values(shapes):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs), arrays)
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(result, full_check=True)
    return result


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(
        operator, inputs, outputs, name=next(o for o in outputs if o), **attributes
    )


def random(*shape):
    return np.random.default_rng(0).uniform(-0.2, 0.2, shape).astype(np.float32)


def lstm(
    T=1,
    B=1,
    F=6,
    H=16,
    *,
    operands="x W R B - h c",
    outputs="Y Yh Yc",
    before=(),
    after=(),
    inputs=None,
    ends=None,
    constants=None,
    **attributes,
):
    """The bare operator, with states. operands, outputs: - for one that is left out by an empty name."""
    names = ["" if n == "-" else n for n in operands.split()]
    results = ["" if n == "-" else n for n in outputs.split()]
    batch_first = attributes.get("layout") == 1
    x, state, y = (
        ([B, T, F], [B, 1, H], [B, T, 1, H])
        if batch_first
        else ([T, B, F], [1, B, H], [T, 1, B, H])
    )
    weights = {
        "W": random(1, 4 * H, F),
        "R": random(1, 4 * H, H),
        "B": random(1, 8 * H),
        "P": random(1, 3 * H),
    }
    held = {n: a for n, a in weights.items() if n in names} | (constants or {})
    given = (inputs or {"x": x}) | {n: state for n in "hc" if n in names}
    shown = {n: y if n == "Y" else state for n in results if n} | (ends or {})
    return model(
        [*before, node("LSTM", names, results, hidden_size=H, **attributes), *after],
        given,
        shown,
        held,
    )


def lstm_of_4d(F):
    before = [node("Reshape", ["x4", "shape"], ["x"])]
    return lstm(
        F=F, before=before, inputs={"x4": [1, F, 1, 1]}, constants={"shape": np.array([1, 1, F])}
    )


def lstm_scaled(F):
    return lstm(
        F=F,
        before=[node("Mul", ["x3", "k"], ["x"])],
        inputs={"x3": [1, 1, F]},
        constants={"k": random(1)},
    )


def lstm_of_2d(F):
    return lstm(
        F=F,
        before=[node("Unsqueeze", ["x2", "axes"], ["x"])],
        inputs={"x2": [1, F]},
        constants={"axes": np.array([0])},
    )


def lstm_head(H, of="Yh"):
    after = [
        node("Reshape", [of, "shape"], ["h4"]),
        node("Conv", ["h4", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    return lstm(
        H=H,
        after=after,
        ends={"y": [1, 3, 1, 1]},
        constants={"shape": np.array([1, H, 1, 1]), "K": random(3, H, 1, 1)},
    )


def lstm_gemm_head(size):
    after = [node("Squeeze", ["Yh", "axes"], ["hs"]), node("Gemm", ["hs", "K", "b"], ["y"])]
    return lstm(
        after=after,
        ends={"y": [1, size]},
        constants={"axes": np.array([0]), "K": random(16, size), "b": random(size)},
    )


def lstm_squeezed(H):
    return lstm(
        H=H,
        after=[node("Squeeze", ["Yh", "axes"], ["hs"])],
        ends={"hs": [1, H]},
        constants={"axes": np.array([0])},
    )


def conv(batch=1, opset=19):
    K = random(8, 8, 1, 1)
    return model(
        [node("Conv", ["x", "K"], ["y"], kernel_shape=[1, 1])],
        {"x": [batch, 8, 1, 1]},
        {"y": [batch, 8, 1, 1]},
        {"K": K},
        opset,
    )


def conv_to(shape):
    nodes = [
        node("Conv", ["x", "K"], ["p"], kernel_shape=[1, 1]),
        node("Reshape", ["p", "shape"], ["y"]),
    ]
    return model(
        nodes,
        {"x": [1, 8, 1, 1]},
        {"y": shape},
        {"K": random(max(shape), 8, 1, 1), "shape": np.array(shape)},
    )


def conv_from(shape):
    size = max(shape)
    nodes = [
        node("Reshape", ["x", "shape"], ["p"]),
        node("Conv", ["p", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    return model(
        nodes,
        {"x": shape},
        {"y": [1, 8, 1, 1]},
        {"K": random(8, size, 1, 1), "shape": np.array([1, size, 1, 1])},
    )


def concat(a, b):
    nodes = [
        node("Concat", ["x", "h"], ["xh"], axis=1),
        *(node("Conv", ["xh", f"K{n}"], [f"y{n}"], kernel_shape=[1, 1]) for n in "12"),
    ]
    kernels = {f"K{n}": random(16, a + b, 1, 1) for n in "12"}
    return model(
        nodes,
        {"x": [1, a, 1, 1], "h": [1, b, 1, 1]},
        {f"y{n}": [1, 16, 1, 1] for n in "12"},
        kernels,
    )


def cell(F=6, H=16, layers=1):
    spec = make_spec(task="forecast", channels=F, hidden=H, layers=layers, outputs=1)
    return build(spec, random_weights(spec), "cell")


# rule, the graph that breaks it, its target and scheme, the nearest that does not, a part of the finding
PAIRS = [
    ("scheme-not-allowed", cell, ("rv1106", "fp16"), cell, ("rv1106", "w8a8"), "fp16 on rv1106: this NPU has no float16; use w8a8"),
    ("scheme-not-allowed", cell, ("rk3562", "w8a16"), cell, ("rk3562", "w8a8"), "the cell form crashes the converter"),
    ("rk2118-int8", cell, ("rk2118", "w8a8"), cell, ("rk2118", "fp16"), "w8a8 on rk2118 crashes the converter; use fp16"),
    ("opset-too-new", lambda: conv(opset=20), ("rk3588", "fp16"), conv, ("rk3588", "fp16"), "opset 20; export it with opset 19"),
    ("dynamic-shape", lambda: conv("N"), ("rk3588", "fp16"), conv, ("rk3588", "fp16"), "input 'x' has the shape (?, 8, 1, 1)"),
    ("output-not-4d", lambda: conv_to([1, 3]), ("rk3588", "fp16"), lambda: conv_to([1, 8]), ("rk3588", "fp16"), "end in (1, 3, 1, 1)"),
    ("output-not-4d", lambda: conv_to([1, 1, 8]), ("rk3588", "w8a8"), lambda: conv_to([1, 16]), ("rk3588", "w8a8"), "a multiple of 16"),
    ("output-not-4d", lambda: conv_to([1, 3]), ("rk3566", "fp16"), lambda: conv_to([1, 3]), ("rk3576", "fp16"), "(1, 3)"),
    ("output-not-4d", lambda: lstm_gemm_head(3), ("rk3588", "fp16"), lambda: lstm_squeezed(20), ("rk3588", "fp16"), "output 'y'"),
    ("output-not-4d", lambda: conv_to([1, 3]), ("rk3588", "fp16"), lambda: conv_to([1, 3, 1, 1]), ("rk3588", "fp16"), "'y'"),
    ("input-not-4d", lambda: conv_from([1, 6]), ("rk3566", "fp16"), lambda: conv_from([1, 6]), ("rk3588", "fp16"), "read by Reshape"),
    ("input-not-4d", lambda: conv_from([1, 6]), ("rk3568", "w8a8"), lambda: lstm_of_2d(6), ("rk3568", "w8a8"), "make it (1, 6, 1, 1)"),
    ("int16-concat", lambda: concat(6, 16), ("rv1106", "w16a16i_dfp"), lambda: concat(8, 20), ("rv1106", "w16a16i_dfp"), "pad 6 to 8"),
    ("no-lstm-operator", lstm, ("rv1106b", "w8a8"), lstm, ("rv1106", "w8a8"), "use the cell form"),
    ("no-lstm-operator", lstm, ("rv1103b", "w8a8"), cell, ("rv1103b", "w8a8"), "LSTM 'Y' on rv1103b"),
    ("lstm-output-unnamed", lambda: lstm(outputs="- Yh Yc"), ("rk3588", "fp16"), lambda: lstm(outputs="Y Yh"), ("rk3588", "fp16"), "Y,"),
    ("lstm-output-unnamed", lambda: lstm(outputs="Y - Yc"), ("rv1106", "w8a8"), lambda: lstm(outputs="Y"), ("rv1106", "w8a8"), "name Y_h,"),
    ("lstm-bias-missing", lambda: lstm(operands="x W R - - h c"), ("rk3576", "fp16"), lstm, ("rk3576", "fp16"), "one of zeros, (1, 128)"),
    ("lstm-bias-missing", lambda: lstm(operands="x W R"), ("rk3588", "w8a8"), lambda: lstm(operands="x W R"), ("rk3588", "fp16"), ""),
    ("lstm-batch", lambda: lstm(B=3), ("rk3588", "fp16"), lambda: lstm(B=4), ("rk3588", "fp16"), "a batch of 3; use 1 or 4"),
    ("lstm-batch", lambda: lstm(B=5), ("rk3566", "w8a8"), lambda: lstm(B=8), ("rk3566", "w8a8"), "use 1 or 8"),
    ("lstm-hidden-one", lambda: lstm(H=1), ("rk3588", "fp16"), lambda: lstm(H=2), ("rk3588", "fp16"), "hidden size 1 in fp16"),
    ("lstm-hidden-one", lambda: lstm(H=1), ("rv1106", "w16a16i_dfp"), lambda: lstm(H=1), ("rv1106", "w8a8"), "use 2 or more"),
    ("lstm-hidden-one", lambda: lstm(H=1), ("rk3562", "fp16"), lambda: lstm(H=1), ("rk3566", "fp16"), "or the cell form"),
    ("lstm-attributes", lambda: lstm(operands="x W R B - h c P"), ("rk3588", "fp16"), lstm, ("rk3588", "fp16"), "peephole weights P"),
    ("lstm-attributes", lambda: lstm(input_forget=1), ("rk3588", "fp16"), lambda: lstm(input_forget=0), ("rk3588", "fp16"), "_forget 1"),
    ("lstm-attributes", lambda: lstm(layout=1), ("rk3588", "fp16"), lstm, ("rk3588", "fp16"), "layout 1; leave"),
    ("lstm-attributes", lambda: lstm(layout=0), ("rv1106", "w8a8"), lstm, ("rv1106", "w8a8"), "layout 0; leave"),
    ("lstm-x-reshaped", lambda: lstm_of_4d(6), ("rk3588", "fp16"), lambda: lstm_of_4d(8), ("rk3588", "fp16"), "pad it to 8 values"),
    ("lstm-x-reshaped", lambda: lstm_scaled(8), ("rk3588", "w8a8"), lambda: lstm_scaled(16), ("rk3588", "w8a8"), "pad it to 16 values"),
    ("lstm-x-reshaped", lambda: lstm_scaled(6), ("rk3566", "fp16"), lambda: lstm_scaled(6), ("rk3576", "fp16"), "made from 'x'"),
    ("lstm-head-reshaped", lambda: lstm_head(20), ("rk3566", "w8a8"), lambda: lstm_head(24), ("rk3566", "w8a8"), "make hidden 24"),
    ("lstm-head-reshaped", lambda: lstm_head(20), ("rk3568", "w8a8"), lambda: lstm_head(20), ("rk3588", "w8a8"), "hidden 20"),
    ("conv-on-lstm-y", lambda: lstm_head(16, "Y"), ("rk3566", "fp16"), lambda: lstm_head(16), ("rk3566", "fp16"), "take Y_h"),
    ("conv-on-lstm-y", lambda: lstm_head(16, "Y"), ("rk3568", "fp16"), lambda: lstm_head(16, "Y"), ("rk3588", "fp16"), "Reshape 'h4'"),
]  # fmt: skip
# Rules that one conversion does not show: the manual's word, or what depends on more than the graph.
QUIET = [
    ("lstm-stored-as-float16", lstm, ("rk3576", "w4a16"), cell, ("rk3576", "w4a16"), "is stored as float16"),
    ("lstm-stored-as-float16", lstm, ("rk3562", "w8a16"), lstm, ("rk3562", "w8a8"), "is stored as float16"),
    ("int16-concat", cell, ("rk3588", "w16a16i_dfp"), lstm, ("rk3588", "w16a16i_dfp"), "Concat 'lstm0_joined1' in w16a16i_dfp"),
    ("size-limit", lambda: lstm(F=8200), ("rk3588", "fp16"), lambda: lstm(F=8192), ("rk3588", "fp16"), "8200 features; stay within 8192"),
    ("size-limit", lambda: lstm(T=8196), ("rk3588", "fp16"), lambda: lstm(T=8192), ("rk3588", "fp16"), "8196 steps"),
    ("lstm-attributes-unlisted", lambda: lstm(clip=0.5), ("rk3588", "fp16"), lstm, ("rk3588", "fp16"), "clip 0.5"),
    (
        "lstm-attributes-unlisted",
        lambda: lstm(activations=["Sigmoid", "Relu", "Tanh"]),
        ("rk3588", "fp16"),
        lambda: lstm(activations=["Sigmoid", "Tanh", "Tanh"]),
        ("rk3588", "fp16"),
        "the activations Sigmoid, Relu, Tanh",
    ),
    ("int8-chunk-calibration", lambda: lstm(T=4), ("rk3588", "w8a8"), lstm, ("rk3588", "w8a8"), "span -1 to 1"),
    ("int8-chunk-calibration", lambda: lstm(T=4), ("rk3576", "w8a8"), lambda: lstm(T=4), ("rk3576", "fp16"), "4 steps in w8a8"),
    (
        "int8-chunk-calibration", lambda: lstm(T=4), ("rk3588", "w8a8"),
        lambda: lstm(T=4, operands="x W R B"), ("rk3588", "w8a8"), "of every initial_h",
    ),
    ("hidden-not-aligned", lambda: lstm(H=60), ("rk3588", "fp16"), lambda: lstm(H=64), ("rk3588", "fp16"), "64 is the next multiple of 8"),
    ("steps-not-aligned", lambda: lstm(T=6), ("rk3588", "fp16"), lambda: lstm(T=8), ("rk3588", "fp16"), "8 is the next multiple of 4"),
    ("steps-not-aligned", lambda: lstm(T=2), ("rk3588", "fp16"), lambda: lstm(T=1), ("rk3588", "fp16"), "has 2 steps"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "wrong", "there", "right", "here", "part"), PAIRS + QUIET)
def test_rule_and_the_nearest_graph_that_keeps_it(rule, wrong, there, right, here, part):
    (found,) = [f for f in lint(wrong(), *there) if f.rule == rule]
    assert found.level == RULES[rule].level
    assert part in f"{found.message}; {found.advice}"
    assert str(found) == f"{found.level}: {rule}: {found.message}; {found.advice}"
    assert "\n" not in str(found)
    assert rule not in {f.rule for f in lint(right(), *here)}


def test_every_rule_has_a_pair():
    assert {case[0] for case in PAIRS + QUIET} == set(RULES)


@pytest.mark.parametrize(("right", "here"), [case[3:5] for case in PAIRS])
def test_the_right_graph_of_a_pair_has_no_error_at_all(right, here):
    assert [str(f) for f in lint(right(), *here) if f.level == "error"] == []


OFFERED = [(t.name, s) for t in targets().values() for s in t.schemes]


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
    """Y_h, or Y through Squeeze, as the next layer's x: observed clean, also where hidden is no multiple of the layout's."""
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
        ("rk3588", "w8a9", "scheme 'w8a9' is unknown; known: fp16, w8a8"),
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
            "expected one of fp16, w8a8 (w8a16 on rk3562: the manual allows it, but the cell form crashes",
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
    assert "target 'rk3589' is unknown" in capsys.readouterr().err


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
        ["error", "lstm-batch"],
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


# --- the real converter ---

on_the_converter = pytest.mark.skipif(
    environment.unsupported_reason() is not None, reason=f"{environment.unsupported_reason()}"
)


def convert_all(jobs, folder):
    """What rknn-toolkit2 does with each (graph, target, scheme), each in a process of its own."""
    lines = []
    for n, (graph, target, scheme) in enumerate(jobs):
        (folder / f"{n}.onnx").write_bytes(graph.SerializeToString())
        lines.append(f"{folder / f'{n}.onnx'} {target} {scheme}\n")
    script = Path(__file__).with_name("convert_many.py")
    command = [environment.python(print), str(script)]
    done = subprocess.run(
        command,
        input="".join(lines),
        env={"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    results = [
        json.loads(line.removeprefix("RESULT "))
        for line in done.stdout.splitlines()
        if line.startswith("RESULT ")
    ]
    assert len(results) == len(jobs)
    return results


def clean(result):
    return (
        result["outcome"] == "ok"
        and not result["errors"]
        and not result["cpu"]
        and result["operators"] > 0
    )


@pytest.mark.slow
@on_the_converter
def test_converter_does_what_the_rules_say(tmp_path):
    jobs = [
        job
        for _, wrong, there, right, here, _ in PAIRS
        for job in ((wrong(), *there), (right(), *here))
    ]
    results = convert_all(jobs, tmp_path)
    for (rule, _, there, _, here, _), wrong, right in zip(
        PAIRS, results[::2], results[1::2], strict=True
    ):
        assert not clean(wrong), f"{rule} on {there}: the converter takes the wrong graph: {wrong}"
        if RULES[rule].level == "warning":
            assert wrong["outcome"] == "ok", f"{rule} on {there} is only a warning: {wrong}"
        assert clean(right), (
            f"{rule} on {here}: the converter does not take the right graph: {right}"
        )


@pytest.mark.slow
@on_the_converter
def test_converter_takes_what_lint_lets_pass(tmp_path):
    """Our cell in every scheme that is offered, and the operator with heads and chains wherever lint has no error for it."""
    graphs = [
        cell(F=8, H=20),
        lstm(),
        lstm(T=4, H=20),
        lstm_head(20),
        lstm_of_2d(6),
        lstm_scaled(6),
        lstm_gemm_head(3),
        conv_from([1, 6]),
    ]
    jobs = [
        (g, *p) for g in graphs for p in OFFERED if not any(f.level == "error" for f in lint(g, *p))
    ]
    assert {job[1:] for job in jobs if job[0] is graphs[0]} == set(OFFERED)
    for (graph, *where), result in zip(jobs, convert_all(jobs, tmp_path), strict=True):
        assert clean(result), f"{[n.op_type for n in graph.graph.node]} on {where}: {result}"


@pytest.mark.slow
@on_the_converter
@pytest.mark.parametrize(
    ("target", "scheme"), [("rk3576", "w4a16"), ("rv1126b", "w4a16"), ("rk3562", "w8a16")]
)
def test_converter_stores_the_operator_as_float16(tmp_path, target, scheme):
    quantised, float16 = convert_all(
        [(lstm(H=64), target, scheme), (lstm(H=64), target, "fp16")], tmp_path
    )
    assert quantised["bytes"] == float16["bytes"] > 0
    if scheme in targets()[target].schemes:
        quantised, float16 = convert_all(
            [(cell(H=256), target, scheme), (cell(H=256), target, "fp16")], tmp_path
        )
        weights = 4 * 256 * (6 + 256)  # two bytes each in float16; int8 would save one of them
        assert 1.2 * weights < float16["bytes"] - quantised["bytes"] < 1.5 * weights


@pytest.mark.slow
@on_the_converter
@pytest.mark.parametrize(
    ("graph", "target", "message"),
    [
        (lambda: lstm(outputs="- Yh Yc"), "rk3588", "OrtValue"),
        (lambda: lstm(operands="x W R - - h c"), "rk3588", r"crashed \(SIGSEGV\)"),
        (lambda: lstm(B=2), "rk3588", "logged an error although it returned success: .*op target"),
        (lambda: lstm(H=1), "rk3588", r"crashed \(SIGSEGV\)"),
        (
            lambda: conv_to([1, 3]),
            "rk3588",
            "logged an error although it returned success: .*op target",
        ),
        (lambda: conv(opset=20), "rk3588", "need <= 19"),
        (cell, "rv1106", "build"),
    ],
)
def test_what_lint_calls_an_error_ends_in_a_conversion_error(graph, target, message):
    assert any(f.level == "error" for f in lint(graph(), target, "fp16"))
    recipe = {"io": {"form": "cell"}}
    made = graph().SerializeToString()
    with pytest.raises(ConversionError, match=message):
        Converter(Conversion(least_spec(), made, recipe, target, "fp16", {}))
