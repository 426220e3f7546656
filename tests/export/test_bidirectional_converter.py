"""Bidirectional models through the real converter."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_lstm_export import export_run
from edge_lstm_export.graphs.npu import whole
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_runtime import compare, load
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.verify.error import FLOAT16, FLOAT32
from edge_lstm_runtime.verify.golden import run_sequences
from helpers.simulated import simulated


def rows_of(spec, steps, seed=1):
    return np.random.default_rng(seed).normal(size=(steps, spec.feature_size)).astype(np.float32)


def slow(thing):
    there = ENVIRONMENT.unsupported_reason()
    return pytest.mark.slow(pytest.mark.skipif(there is not None, reason=f"{there}")(thing))


@pytest.fixture(scope="module")
def converted(both_run, tmp_path_factory):
    return export_run(both_run, tmp_path_factory.mktemp("both") / "both.edge")


@slow
def test_export_for_rk3588(converted, record_property):
    bundle = load(converted.out).bundle
    assert sorted(bundle.manifest["artifacts"]) == [
        "rk3588-fp16-t100.rknn",
        "rk3588-w8a8-t100.rknn",
    ]
    assert not converted.notes
    # w8a8 of a small net, hardly trained
    for scheme, limit in (
        ("fp16", FLOAT16.limit),
        ("w8a8", 0.05),
    ):
        member = f"rk3588-{scheme}-t100.rknn"
        row = bundle.manifest["artifacts"][member]
        assert bundle.member(member).startswith(b"RKNN")
        assert (row["form"], row["graph"]) == ("fused", "npu-fused-t100.onnx")
        nrmse = converted.accuracy[simulated(member)].comparison.nrmse
        record_property(member, f"NRMSE {nrmse:.1e}")
        assert nrmse <= limit
        inside = [
            r for r in row["operators"] if r["operator"] not in ("InputOperator", "OutputOperator")
        ]
        assert {r["target"] for r in inside} == {"NPU"}
        assert [r["operator"] for r in inside].count("exLSTM") == 2
        assert {r["dtype"] for r in inside} == {{"fp16": "FLOAT16", "w8a8": "INT8"}[scheme]}
        assert "inspection" not in row
        assert (
            "over the whole test split (40 recordings, 4,000 steps)"
            in row["test_split"]["sentence"]
        )
    html = converted.out.with_suffix(".html").read_text()
    assert "whole sequences of 100 steps; others are computed by NumPy" in html


@slow
def test_check_and_session_on_the_simulator(converted, both_run, capsys):
    for scheme in ("fp16", "w8a8"):
        member = f"rk3588-{scheme}-t100.rknn"
        assert (
            main(
                [
                    "check",
                    str(converted.out),
                    "--backend",
                    "rknn-sim",
                    "--artifact",
                    member,
                    "--json",
                ]
            )
            == 0
        )
        result = json.loads(capsys.readouterr().out)
        assert result["max_abs"] == converted.accuracy[simulated(member)].comparison.max_abs
    recording = both_run.splits.test[1].x
    expected = load(converted.out).session("reference")
    with load(converted.out).session("rknn-sim", artifact="rk3588-fp16-t100.rknn") as session:
        once = session.run(recording)
        again = session.run(recording)
        np.testing.assert_array_equal(once, again)
        assert compare(once, expected.run(recording)).within(FLOAT16)
        assert compare(session.run(recording[:31]), expected.run(recording[:31])).within(FLOAT32), (
            "NumPy's"
        )


@slow
@pytest.mark.parametrize(
    ("layers", "hidden", "steps"), [(1, 10, 2), (2, 20, 7), (4, 1, 12), (2, 64, 100)]
)
@pytest.mark.parametrize(("scheme", "limit"), [("fp16", FLOAT16.limit), ("w8a8", 0.1)])
def test_the_operator_is_clean_and_stays_on_the_npu(
    random_model, layers, hidden, steps, scheme, limit
):
    """Hidden sizes that are no multiple of 8 too. Unless filled up, the converter logs an error."""
    spec, weights = random_model(layers, hidden, outputs=3, bidirectional=True)
    form = whole(spec, weights, steps)
    lengths = np.array([steps] * 6)
    rows = rows_of(spec, 6 * steps)
    calibration = {"x": np.stack([rows_of(spec, steps, seed) for seed in range(100, 132)])}
    graph = form.graph.SerializeToString()
    conversion = Conversion(spec, graph, form.recipe, "rk3588", scheme, calibration)
    with Converter(conversion) as converter:
        assert (
            compare(
                converter.run(rows), run_sequences(reference(spec, weights), rows, lengths)
            ).nrmse
            <= limit
        )
        assert {r["target"] for r in converter.inner_operators} == {"NPU"}


@slow
@pytest.mark.parametrize("target", ["rk3566", "rk3576", "rk3562", "rv1106"])
def test_other_targets_take_it(random_model, target):
    spec, weights = random_model(2, 16, bidirectional=True)
    form = whole(spec, weights, 12)
    calibration = {"x": np.stack([rows_of(spec, 12, seed) for seed in range(16)])}
    graph = form.graph.SerializeToString()
    conversion = Conversion(spec, graph, form.recipe, target, "w8a8", calibration)
    with Converter(conversion) as converter:
        assert {r["target"] for r in converter.inner_operators} == {"NPU"}
