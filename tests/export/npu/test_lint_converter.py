"""The real converter does what the rules of lint say."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.rknn.lint import RULES, lint
from edge_lstm_export.npu.rknn.lint_operators import _file, outcome
from edge_lstm_export.npu.rknn.targets import targets
from edge_lstm_export.npu.worker import making
from edge_lstm_runtime import ConversionError
from helpers.converter import NEEDS_CONVERTER
from helpers.lint_graphs import (
    OFFERED,
    PAIRS,
    cell,
    conv,
    conv_from,
    conv_to,
    lstm,
    lstm_gemm_head,
    lstm_head,
    lstm_of_2d,
    lstm_scaled,
)
from helpers.lint_pairs import MORE_PAIRS
from helpers.operator_graphs import GRAPHS
from helpers.operator_results import measured_outcome
from helpers.specs import least_spec

ALL_PAIRS = PAIRS + MORE_PAIRS


def convert_all(jobs, folder):
    """What rknn-toolkit2 does with each (graph, target, scheme), each in a process of its own."""
    lines = []
    for n, (graph, target, scheme) in enumerate(jobs):
        (folder / f"{n}.onnx").write_bytes(graph.SerializeToString())
        lines.append(f"{folder / f'{n}.onnx'} {target} {scheme}\n")
    script = Path(__file__).with_name("convert_many.py")
    command = [making.interpreter(ENVIRONMENT, print), str(script)]
    done = subprocess.run(
        command,
        input="".join(lines),
        # What Python compiles would be a change of the environment.
        env={"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
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
@NEEDS_CONVERTER
def test_converter_does_what_the_rules_say(tmp_path):
    jobs = [
        job
        for _, wrong, there, right, here, _ in ALL_PAIRS
        for job in ((wrong(), *there), (right(), *here))
    ]
    results = convert_all(jobs, tmp_path)
    for (rule, _, there, _, here, _), wrong, right in zip(
        ALL_PAIRS, results[::2], results[1::2], strict=True
    ):
        assert not clean(wrong), f"{rule} on {there}: the converter takes the wrong graph: {wrong}"
        if RULES[rule].level == "warning":
            assert wrong["outcome"] == "ok", f"{rule} on {there} is only a warning: {wrong}"
        assert clean(right), (
            f"{rule} on {here}: the converter does not take the right graph: {right}"
        )


@pytest.mark.slow
@NEEDS_CONVERTER
def test_converter_takes_what_lint_lets_pass(tmp_path):
    """Our cell in every scheme offered, and the operator's graphs that lint lets pass."""
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
@NEEDS_CONVERTER
@pytest.mark.parametrize(
    ("target", "scheme"), [("rk3576", "w4a16"), ("rv1126b", "w4a16"), ("rk3562", "w8a16")]
)
def test_converter_stores_the_operator_as_float16(tmp_path, target, scheme):
    quantized, float16 = convert_all(
        [(lstm(H=64), target, scheme), (lstm(H=64), target, "fp16")], tmp_path
    )
    assert quantized["bytes"] == float16["bytes"] > 0
    if scheme in targets()[target].schemes:
        quantized, float16 = convert_all(
            [(cell(H=256), target, scheme), (cell(H=256), target, "fp16")], tmp_path
        )
        weights = 4 * 256 * (6 + 256)  # two bytes each in float16, one in int8
        assert 1.2 * weights < float16["bytes"] - quantized["bytes"] < 1.5 * weights


@pytest.mark.slow
@NEEDS_CONVERTER
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


@pytest.mark.slow
@NEEDS_CONVERTER
def test_converter_does_what_the_table_of_operators_says(tmp_path):
    """A drawn part of it, with all outcomes, and with targets that only are taken to be like one.

    `measure_operators` measures the whole table.
    """
    table = _file()
    pairs = [*table["measured"], "rk3568 fp16", "rv1103 w8a8", "rv1106b w8a8"]
    rng = np.random.default_rng(1)
    drawn = [(str(n), str(rng.choice(pairs))) for n in rng.choice(list(GRAPHS), 40, replace=False)]
    found = convert_all([(GRAPHS[name](), *pair.split()) for name, pair in drawn], tmp_path)
    expected = {(name, pair): outcome(name, *pair.split()) for name, pair in drawn}
    assert set(expected.values()) >= {"npu", "cpu", "error", "refused"}
    assert dict(zip(drawn, map(measured_outcome, found), strict=True)) == expected
