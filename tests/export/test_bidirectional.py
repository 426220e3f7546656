"""Bidirectional models from a trained run to a bundle, and the NPU's graph on ONNX Runtime."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_lstm import Sequence
from edge_lstm_export import export_run
from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.graphs.npu import whole
from edge_lstm_export.measure.keys import NUMPY
from edge_lstm_export.npu.rknn import VENDOR
from edge_lstm_export.npu.rknn import convert as rknn_convert
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.npu.rknn.lint import lint
from edge_lstm_export.npu.rknn.targets import targets
from edge_lstm_export.quantize.calibration import sequences
from edge_lstm_export.steps import (
    calibrate,
    draw_stream,
    evaluate_task,
    inspect,
    simulate,
)
from edge_lstm_export.steps import convert as convert_step
from edge_lstm_export.steps.simplify import _simplify
from edge_lstm_export.work import Work
from edge_lstm_runtime import compare, load
from edge_lstm_runtime.backends.onnx import onnx_backend
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.backends.rknn.packing import Packing
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.measured import Measured, read_measured
from edge_lstm_runtime.verify.error import FLOAT32
from helpers.simulated import simulated


def rows_of(spec, steps, seed=1):
    return np.random.default_rng(seed).normal(size=(steps, spec.feature_size)).astype(np.float32)


class OrtRuntime:
    """The vendor's call signature, computed by ONNX Runtime."""

    def __init__(self, graph):
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def inference(self, inputs):
        names = [i.name for i in self.session.get_inputs()]
        return self.session.run(None, dict(zip(names, inputs, strict=True)))

    def release(self): ...


def packing_for(spec, form):
    return Packing(form.recipe["io"], features=spec.feature_size, states=spec.network.state)


@pytest.mark.parametrize(("layers", "hidden"), [(1, 1), (1, 16), (2, 10), (4, 7)])
@pytest.mark.parametrize("simplified", [False, True])
def test_the_onnx_graph_takes_any_length(random_model, layers, hidden, simplified):
    spec, weights = random_model(layers, hidden, bidirectional=True)
    graph = build(spec, weights, "fused")
    graph = _simplify(graph, "fused") if simplified else graph
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("x", ["steps", 1, 6])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("y", ["steps", 4])]
    backend = onnx_backend(spec, graph.SerializeToString())
    judge = reference(spec, weights)
    for steps in (1, 250, 7):
        assert compare(backend.run(rows_of(spec, steps)), judge.run(rows_of(spec, steps))).within(
            FLOAT32
        )


@pytest.mark.parametrize(("layers", "hidden"), [(1, 16), (2, 10), (3, 1)])
def test_the_form_for_the_npu_is_the_reference(random_model, layers, hidden):
    """Its hidden units are filled up to a multiple of 8, which changes nothing."""
    spec, weights = random_model(layers, hidden, outputs=3, bidirectional=True)
    form = whole(spec, weights, 12)
    assert (form.name, form.label, form.recipe["io"]) == (
        "fused",
        "fused-t12",
        {"form": "lstm", "steps": 12, "whole": True},
    )
    assert [node.op_type for node in form.graph.graph.node] == ["LSTM", "Reshape"] * layers + [
        "Conv"
    ]
    backend = RknnBackend(OrtRuntime(form.graph.SerializeToString()), packing_for(spec, form))
    judge = reference(spec, weights)
    for seed in (1, 2):  # nothing stays behind
        rows = rows_of(spec, 12, seed)
        assert compare(backend.run(rows), judge.run(rows)).within(FLOAT32)
    assert backend.state == {}


@pytest.mark.parametrize(
    ("target", "scheme"), [(t.name, s) for t in targets().values() if t.lstm_npu for s in t.schemes]
)
def test_lint_has_nothing_against_it_where_the_npu_has_the_operator(random_model, target, scheme):
    spec, weights = random_model(2, 10, bidirectional=True)
    found = {f.rule for f in lint(whole(spec, weights, 12).graph, target, scheme)}
    assert found <= {"lstm-stored-as-float16"}, found


# --- an export without the converter ---


@pytest.fixture(scope="module")
def exported(both_run, tmp_path_factory):
    return export_run(both_run, tmp_path_factory.mktemp("exported") / "both.edge", schemes=())


def test_the_bundle_has_whole_recordings_and_runs(exported, both_run):
    bundle = load(exported.out).bundle
    assert set(bundle.members) == {"weights.npz", "golden.npz", "model.onnx"}
    np.testing.assert_array_equal(bundle.lengths, [100] * 10)
    recordings = [s.x for s in both_run.splits.test]
    for part in np.split(bundle.golden[0], 10):
        assert any(np.array_equal(part, x) for x in recordings)
    assert set(read_measured(bundle.manifest["accuracy"])) == {
        NUMPY,
        Measured("onnx", "model.onnx"),
    }
    assert all(
        a.comparison.within(FLOAT32) and a.comparison.steps == 1000
        for a in exported.accuracy.values()
    )
    assert main(["check", str(exported.out)]) == 0


def test_the_metric_is_torchs_and_there_is_no_stream_to_carry(exported, both_run):
    assert set(exported.metrics) == {NUMPY}
    for key in ("accuracy", "macro_f1", "accuracy_all_steps"):
        assert exported.metrics[NUMPY][key] == pytest.approx(
            both_run.metrics["test"][key], abs=1e-6
        )


def test_the_same_run_gives_the_same_bytes_and_a_report(exported, both_run, tmp_path):
    assert (
        export_run(both_run, tmp_path / "b.edge", schemes=()).out.read_bytes()
        == exported.out.read_bytes()
    )
    html = exported.out.with_suffix(".html").read_text()
    assert "1000 steps of real test data, 10 whole sequences, each from the zero state" in html
    assert "state carried" not in html


def test_a_bundle_without_a_cell_can_be_linted(exported, capsys):
    assert main(["lint", str(exported.out), "--target", "rk3588", "--scheme", "fp16"]) == 1
    assert "dynamic-shape: input 'x' has the shape (?, 1, 6)" in capsys.readouterr().out


# --- which length the converted model takes ---


def work_for(run, recordings, **more):
    """recordings: the lengths of the test split."""
    splits = dataclasses.replace(
        run.splits, test=[Sequence(str(n), "g", rows_of(run.spec, n, n), 0) for n in recordings]
    )
    copy = dataclasses.replace(run)
    copy.__dict__["splits"] = splits
    said = []
    options = {"schemes": {"rk3588": ("fp16",)}, **more}
    return Work(
        run=copy, out=Path("x.edge"), say=said.append, resources=ExitStack(), **options
    ), said


@pytest.mark.parametrize(
    ("recordings", "chunk", "steps", "lengths"),
    [
        ([30, 30, 30], None, 30, [30, 30, 30]),
        ([40, 9, 25], 12, 12, [12] * 5),  # 3 pieces of 40, none of 9, 2 of 25
        ([1024], None, 1024, [1024]),
        ([600] * 4, None, 600, [600, 600]),  # no more than a thousand steps need
    ],
)
def test_the_length_is_that_of_the_recordings_or_as_asked(
    both_run, recordings, chunk, steps, lengths
):
    work, said = work_for(both_run, recordings, chunk=chunk)
    work = draw_stream.call(work)
    assert (work.chunk, work.lengths.tolist(), said) == (steps, lengths, [])
    parts = zip(
        np.split(work.stream, np.cumsum(lengths)[:-1]),
        np.split(work.reference, np.cumsum(lengths)[:-1]),
        strict=True,
    )
    judge = reference(work.spec, work.weights)
    for x, y in parts:
        rows = (x - work.spec.inputs.mean) / np.asarray(work.spec.inputs.std)
        np.testing.assert_allclose(y, judge.run(rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("recordings", "chunk", "why"),
    [
        (
            [30, 31],
            None,
            "the test recordings have 30 to 31 steps, and a converted model takes sequences of "
            "one length",
        ),
        (
            [30, 31],
            32,
            "the longest test recording has 31 steps, too few to check it with sequences of 32",
        ),
        ([1, 1], None, "the test recordings have 1 steps, and a converted model takes 2 to 1024"),
        (
            [1025],
            None,
            "the test recordings have 1025 steps, and a converted model takes 2 to 1024",
        ),
    ],
)
def test_no_length_is_a_note_and_the_rest_is_made(both_run, recordings, chunk, why):
    work, said = work_for(both_run, recordings, chunk=chunk)
    work = draw_stream.call(work)
    (note,) = work.notes
    assert (
        note
        == f"no RKNN model for rk3588 was made: {why}; choose a length by --chunk. NumPy and ONNX "
        "Runtime take any."
    )
    assert said == [f"  {note}"]
    assert not work.schemes
    assert sorted(work.lengths) == sorted(min(n, 1000) for n in recordings)
    assert not calibrate.call(work).calibration


def test_calibration_is_sequences_of_that_length_the_classes_in_turn():
    recordings = [
        np.full((length, 2), 10.0 * n) + np.arange(length)[:, None]
        for n, length in enumerate((5, 8, 3))
    ]
    x = sequences(recordings, ["a", "b", "a"], 4)["x"]
    assert x.dtype == np.float32
    assert sorted(map(tuple, x[:, :, 0].tolist())) == [
        (0, 1, 2, 3),
        (10, 11, 12, 13),
        (14, 15, 16, 17),
        (20, 21, 22, 20),
    ]
    assert {int(x[0, 0, 0]) // 10 == 1, int(x[1, 0, 0]) // 10 == 1} == {True, False}, (
        "one of each class first"
    )
    assert len(sequences([np.zeros((400, 1))], ["a"], 2)["x"]) == 64


# --- the steps after it, the converter replaced by ONNX Runtime ---


class Simulated:
    """In the place of Converter. wrong: is added to its answers."""

    cycles = None
    inner_operators = ()
    on_cpu = 0
    wrong = 0.0
    backend = Converter.backend

    def __init__(self, conversion, **_):
        spec = self.spec = conversion.spec
        self.steps = conversion.steps
        self.closed = False
        packing = Packing(
            conversion.recipe["io"], features=spec.feature_size, states=spec.network.state
        )
        self._backend = RknnBackend(OrtRuntime(conversion.graph), packing)

    def run(self, rows):
        return self._backend.run(rows) + np.float32(Simulated.wrong)

    def close(self):
        self.closed = True


@pytest.fixture
def convert(monkeypatch):
    monkeypatch.setattr(rknn_convert, "Converter", Simulated)
    monkeypatch.setattr(VENDOR, "unsupported_reason", lambda: None)
    monkeypatch.setattr(VENDOR, "make_ready", lambda _: None)
    return lambda work: convert_step.call(calibrate.call(draw_stream.call(work)))


def test_one_model_for_each_target_and_scheme(both_run, convert):
    work = simulate.call(
        convert(work_for(both_run, [20, 20, 9], chunk=20, schemes={"rk3588": ("fp16", "w8a8")})[0])
    )
    assert list(work.artifacts) == ["rk3588-fp16-t20.rknn", "rk3588-w8a8-t20.rknn"]
    (row,) = work.candidates["rk3588-fp16-t20.rknn"]
    assert (row.form, row.steps, row.why) == ("fused", 20, "the only form for sequences of 20")
    assert work.accuracy[simulated("rk3588-fp16-t20.rknn")].comparison.max_abs < 1e-5
    assert not work.notes
    assert not inspect.call(work).inspections, "nothing is carried that could drift"
    work = evaluate_task.call(work)
    judged = work.judgements[simulated("rk3588-fp16-t20.rknn")]
    assert judged.verdict == "good"
    assert (
        "over the 40 of 49 steps of the test split that it answers itself (2 recordings)"
        in judged.sentence
    )
    assert set(work.metrics) == {
        NUMPY,
        simulated("rk3588-fp16-t20.rknn"),
        simulated("rk3588-w8a8-t20.rknn"),
    }


def test_a_model_that_answers_little_of_the_test_split_is_said_to(both_run, convert):
    work = convert(work_for(both_run, [12, 30, 33], chunk=12)[0])
    note = evaluate_task._answered_by_numpy(work, "rk3588-fp16-t12.rknn")
    assert note == (
        "rk3588-fp16-t12.rknn: 84 % of the steps of the test split are in recordings of other "
        "than 12 steps and were computed by NumPy, "
        "so its metric says little; test with recordings of that length"
    )


def test_a_refused_or_a_wrong_one_is_a_note(both_run, convert, monkeypatch):
    work = convert(work_for(both_run, [20, 20], schemes={"rv1103b": ("w8a8",)})[0])
    assert not work.artifacts
    assert work.notes[0].startswith("rv1103b-w8a8-t20.rknn was not made: no-lstm-operator: ")
    monkeypatch.setattr(Simulated, "wrong", 0.2)
    work = simulate.call(
        convert(work_for(both_run, [20, 20], schemes={"rk3588": ("fp16", "w8a8")})[0])
    )
    assert not work.artifacts
    assert list(work.left_out) == ["rk3588-fp16-t20.rknn", "rk3588-w8a8-t20.rknn"]
    for note in work.notes:
        assert "was left out: NRMSE" in note
    monkeypatch.setattr(Simulated, "wrong", 0.005)
    work = simulate.call(convert(work_for(both_run, [20, 20], schemes={"rk3588": ("w8a8",)})[0]))
    assert (
        evaluate_task.call(work).judgements[simulated("rk3588-w8a8-t20.rknn")].verdict
        == "usable, not good"
    )
