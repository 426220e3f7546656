"""The export of chunks, by ONNX Runtime in place of the converter, then by the real one."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from edge_lstm_export import export_run
from edge_lstm_export.asked import CHUNKS
from edge_lstm_export.graphs.npu import fused
from edge_lstm_export.npu.rknn import VENDOR
from edge_lstm_export.npu.rknn import convert as rknn_convert
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.steps import convert, evaluate_task, simulate
from edge_lstm_export.steps.inspect import drift_window, drift_windows
from edge_lstm_runtime import ConfigError, ConversionError, Reference, load
from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.backends.rknn.packing import Packing
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.verify.error import FLOAT16
from helpers.calibration import calibration_for
from helpers.chunks import OrtChunks, T, assert_right
from helpers.converter import NEEDS_CONVERTER
from helpers.simulated import simulated
from helpers.specs import feature_rows

# --- the export ---


@pytest.mark.parametrize("chunk", [1, 0, -8, 1025, 5000, 8.0, "8", True])
def test_chunks_that_are_not_offered(trained, tmp_path, chunk):
    with pytest.raises(
        ConfigError, match=re.escape(f"chunk is {chunk!r}; expected a whole number from 2 to 1024")
    ):
        export_run(trained, tmp_path / "x.edge", chunk=chunk)
    assert not list(tmp_path.iterdir())


def test_wrong_chunks_on_the_command_line(tmp_path, capsys):
    def export(*arguments):
        try:
            code = main(["export", str(tmp_path), "-o", str(tmp_path / "x.edge"), *arguments])
        except SystemExit as e:  # argparse's own
            code = e.code
        return code, capsys.readouterr().err

    for text in ("1", "5000"):
        code, error = export("--chunk", text)
        assert (code, error.count("\n")) == (2, 1)
        assert f"chunk is {text}; expected a whole number from 2 to 1024" in error
    for text in ("many", "8.5", ""):
        code, error = export("--chunk", text)
        assert code == 2
        assert f"argument --chunk: invalid int value: '{text}'" in error
    code, error = export("--chunk", "8", "--no-npu")
    assert (code, error.count("\n")) == (2, 1)
    assert "--no-npu and --chunk contradict each other" in error


def test_windows_of_the_drift_are_whole_chunks():
    for steps in (1, *CHUNKS):
        window = drift_window(steps)
        assert window % steps == 0
        assert steps == window or 500 < window <= 1000
        assert abs(round(10_000 / window) * window - 10_000) <= window / 2
        assert window <= max(1000, 2 * steps), "the golden stream holds one"
    assert drift_window(1) == drift_window(8) == 1000
    assert drift_window(3) == 999


def test_a_large_net_is_streamed_fewer_times() -> None:
    found = [drift_windows(1000, macs) for macs in (1, 100_000, 200_000, 500_000, 10**9)]
    assert found == [10, 10, 5, 2, 2]


def test_calibration_data_of_a_chunk_longer_than_the_set(random_model, tmp_path):
    spec, weights = random_model(2, 8)
    form = fused(spec, weights, {}, steps=40)
    graph = form.graph.SerializeToString()
    calibration = calibration_for(spec, weights, 30)
    Conversion(spec, graph, form.recipe, "rk3588", "w8a8", calibration).write(tmp_path)
    lines = [line.split() for line in (tmp_path / "dataset.txt").read_text().splitlines()]
    assert len(lines) == 30
    arrays = [[np.load(path) for path in line] for line in lines]
    assert {tuple(a.shape for a in row) for row in arrays} == {((40, 1, 6), *[(1, 1, 8)] * 4)}
    h = np.stack([row[k] for row in arrays for k in (1, 3)])
    assert (h.min(), h.max()) == (-1, 1), "or the converter aborts"


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_calibration_data_of_a_chunk_are_rows_in_a_row(random_model, tmp_path, steps):
    """Each sample begins one row later. The last ones go on at the first row."""
    spec, weights = random_model(1, 8)
    form = fused(spec, weights, {}, steps=steps)
    calibration = calibration_for(spec, weights, 30)
    graph = form.graph.SerializeToString()
    Conversion(spec, graph, form.recipe, "rk3588", "w8a8", calibration).write(tmp_path)
    lines = [line.split() for line in (tmp_path / "dataset.txt").read_text().splitlines()]
    rows = calibration["x"]
    for n, (x, h, _) in enumerate(lines):
        expected = [rows[(n + k) % 30] for k in range(steps)]
        np.testing.assert_array_equal(np.load(x)[:, 0], expected)
        end = steps > 1 and n < 2
        state = [1.0 - 2 * n] * 8 if end else calibration["lstm0.h"][n]
        np.testing.assert_array_equal(np.load(h).ravel(), state)
    assert len(lines) == 30


def work_for(run, tmp_path, **more):
    from contextlib import ExitStack

    from edge_lstm_export.work import Work

    said = []
    more = {"schemes": {"rk3588": ("fp16",)}, **more}
    return Work(
        run=run, out=tmp_path / "x.edge", say=said.append, resources=ExitStack(), **more
    ), said


class Simulated:
    """In the place of Converter: what a chunk's graph answers, by ONNX Runtime."""

    cycles = 100
    inner_operators = ()

    def __init__(self, conversion, **_):
        self.spec = conversion.spec
        self.steps = conversion.steps
        self.closed = False
        if self.steps > 1 and Simulated.refuses:
            raise ConversionError("rknn-toolkit2 (rk3588 fp16) crashed (SIGABRT)")
        packing = Packing(
            conversion.recipe["io"],
            features=self.spec.feature_size,
            states=self.spec.network.state,
        )
        self._backend = RknnBackend(OrtShaped(conversion.graph), packing)

    def reset(self):
        self._backend.reset()

    def run(self, rows):
        return self._backend.run(rows)

    def get_state(self):
        return self._backend.state

    def set_state(self, state):
        self._backend.state = state

    on_cpu = 0
    backend = Converter.backend

    def close(self):
        self.closed = True


class OrtShaped(OrtChunks):
    def inference(self, inputs):
        shapes = [i.shape for i in self._session.get_inputs()]
        return super().inference([a.reshape(s) for a, s in zip(inputs, shapes, strict=True)])


@pytest.fixture
def converted(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(rknn_convert, "Converter", Simulated)
    monkeypatch.setattr(VENDOR, "unsupported_reason", lambda: None)
    monkeypatch.setattr(VENDOR, "make_ready", lambda _: None)
    xs = feature_rows(trained.spec, 100).astype(np.float64)
    rows = trained.spec.features(xs)

    def made(chunk, refuses=False, **more):
        Simulated.refuses = refuses
        work, said = work_for(
            trained,
            tmp_path,
            chunk=chunk,
            stream=xs,
            reference=Reference(trained.spec, trained.weights).run(rows),
            **more,
        )
        return convert.call(work), said

    return made


def test_a_chunk_is_a_further_artifact(converted):
    work, _ = converted(T)
    assert list(work.artifacts) == ["rk3588-fp16.rknn", "rk3588-fp16-t8.rknn"]
    chunk = work.artifacts["rk3588-fp16-t8.rknn"]
    assert chunk.form.label == "fused-t8"
    assert chunk.form.recipe["io"] == {"form": "lstm", "steps": 8}
    assert_right(chunk.outputs, work.reference)
    (row,) = work.candidates["rk3588-fp16-t8.rknn"]
    assert row.to_dict()["steps"] == 8
    assert row.to_dict()["kept"] == "asked for, beside rk3588-fp16.rknn"
    assert [c.form for c in work.candidates["rk3588-fp16.rknn"]] == ["cell", "fused"]
    work = simulate.call(work)
    assert work.accuracy[simulated("rk3588-fp16-t8.rknn")].tolerance.limit == 2.0**-11, (
        "ONNX Runtime is exact, and fp16 never is"
    )
    assert not work.notes


def test_a_chunk_that_is_refused_is_a_note(converted):
    work, said = converted(T, refuses=True)
    assert list(work.artifacts) == ["rk3588-fp16.rknn"]
    assert work.notes == (
        "rk3588-fp16-t8.rknn was not made: rknn-toolkit2 (rk3588 fp16) crashed (SIGABRT)",
    )
    assert any(work.notes[0] in line for line in said)


def test_a_chunk_that_lint_refuses_is_a_note(converted):
    work, _ = converted(T, schemes={"rv1103b": ("w8a8",)})
    assert list(work.artifacts) == ["rv1103b-w8a8.rknn"]
    (note,) = work.notes
    assert re.match(
        r"rv1103b-w8a8-t8\.rknn was not made: no-lstm-operator: LSTM 'lstm0_y' on rv1103b, whose "
        r"NPU has no",
        note,
    )


def test_a_chunk_out_of_tolerance_is_left_out(converted):
    import dataclasses

    work, _ = converted(T)
    chunk = work.artifacts["rk3588-fp16-t8.rknn"]
    wrong = dataclasses.replace(chunk, outputs=chunk.outputs + 1)
    work = simulate.call(
        dataclasses.replace(work, artifacts={**work.artifacts, "rk3588-fp16-t8.rknn": wrong})
    )
    assert list(work.artifacts) == ["rk3588-fp16.rknn"]
    assert "rk3588-fp16-t8.rknn was left out: NRMSE" in work.notes[0]
    assert chunk.converter.closed
    assert simulated("rk3588-fp16-t8.rknn") not in work.accuracy


def test_a_metric_that_is_numpys_is_said_to_be(converted):
    """Recordings of 100 steps hold no chunk of 128, one of 49 twice and one of 8 twelve times."""
    for steps, left in ((128, 100), (51, None), (60, None), (49, None), (8, None)):
        work, _ = converted(steps)
        note = evaluate_task._answered_by_numpy(work, f"rk3588-fp16-t{steps}.rknn")
        assert (note is None) == (left is None), note
        if left:
            assert f"{left} % of the steps of the test split fill no chunk of {steps}" in note
    assert evaluate_task._answered_by_numpy(work, "rk3588-fp16.rknn") is None


# --- the real converter ---


real = [pytest.mark.slow, NEEDS_CONVERTER]


def slow(thing):
    for mark in real:
        thing = mark(thing)
    return thing


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    return export_run(trained, tmp_path_factory.mktemp("chunks") / "motions.edge", chunk=8)


@slow
def test_export_with_chunks(exported, record_property):
    bundle = load(exported.out).bundle
    assert sorted(bundle.manifest["artifacts"]) == [
        f"rk3588-{s}{t}.rknn" for s in ("fp16", "w8a8") for t in ("-t8", "")
    ]
    assert not exported.notes
    # w8a8 of a small net, hardly trained
    for scheme, limit in (
        ("fp16", FLOAT16.limit),
        ("w8a8", 0.05),
    ):
        member = f"rk3588-{scheme}-t8.rknn"
        row = bundle.manifest["artifacts"][member]
        assert bundle.member(member).startswith(b"RKNN")
        assert (row["form"], row["graph"], row["recipe"]["io"]) == (
            "fused",
            "npu-fused-t8.onnx",
            {"form": "lstm", "steps": 8},
        )
        assert "npu-fused-t8.onnx" in bundle.members
        nrmse = exported.accuracy[simulated(member)].comparison.nrmse
        record_property(member, f"NRMSE {nrmse:.1e}")
        assert nrmse <= limit
        drift = row["inspection"]["drift"]
        assert (len(drift), row["inspection"]["window"]) == (10, 1000)
        assert drift[-1] <= 1.5 * drift[0]
        assert row["inspection"]["tensors"] == []
    html = exported.out.with_suffix(".html").read_text()
    assert "8 steps at a time; what fills no chunk is computed by NumPy" in html
    assert html.count('class="tensors"') == 2


@slow
def test_check_of_chunks_on_the_simulator(exported, capsys):
    for scheme in ("fp16", "w8a8"):
        member = f"rk3588-{scheme}-t8.rknn"
        assert (
            main(
                [
                    "check",
                    str(exported.out),
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
        assert result["max_abs"] == exported.accuracy[simulated(member)].comparison.max_abs
        assert result["steps"] == 1000


@slow
def test_session_on_a_chunk(exported, trained):
    xs = trained.splits.test[0].x[:30]
    expected = load(exported.out).session("reference").run(xs)
    with load(exported.out).session(
        "rknn-sim", artifact="rk3588-fp16-t8.rknn", verify=False
    ) as session:
        answers = [session.run(xs[:11]), session.step(xs[11])[None]]
        saved = session.state
        rest = session.run(xs[12:])
        session.state = saved
        np.testing.assert_array_equal(session.run(xs[12:]), rest)
    found = np.concatenate([*answers, rest])
    assert np.sqrt(np.mean((found - expected) ** 2)) / expected.std() <= FLOAT16.limit


@slow
@pytest.mark.parametrize("scheme", ["fp16", "w8a8"])
@pytest.mark.parametrize("steps", [3, 300])
def test_chunks_that_divide_nothing_and_that_are_longer_than_the_calibration_set(
    random_model, scheme, steps
):
    """3 is neither a multiple of 4, as the manual advises, nor a divisor of 1000.

    300 is more than the 128 calibration samples.
    """
    spec, weights = random_model(2, 16)
    calibration = calibration_for(spec, weights, 128)
    form = fused(spec, weights, calibration, steps=steps)
    rows = feature_rows(spec, 1200)
    graph = form.graph.SerializeToString()
    conversion = Conversion(spec, graph, form.recipe, "rk3588", scheme, calibration)
    with Converter(conversion) as converter:
        found = converter.run(rows)
        expected = Reference(spec, weights).run(rows)
        assert (
            np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
            <= {"fp16": FLOAT16.limit, "w8a8": 0.1}[scheme]
        )
        assert {r["target"] for r in converter.inner_operators} == {"NPU"}
