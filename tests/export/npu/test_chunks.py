"""Chunks: a converted model of T steps at a time that takes any number.

ONNX Runtime stands for the NPU; the real converter comes at the end.
"""

from __future__ import annotations

import json
import logging
import re

import numpy as np
import onnxruntime
import pytest

from edge_lstm_export import export_run
from edge_lstm_export.graphs.npu import fused
from edge_lstm_export.measure.keys import simulated
from edge_lstm_export.npu.rknn import environment
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.process import Converter
from edge_lstm_export.pipeline import CHUNKS
from edge_lstm_export.steps import convert_rknn, evaluate_task, simulate
from edge_lstm_export.steps.inspect_rknn import drift_window
from edge_lstm_runtime import (
    BackendError,
    BundleError,
    ConfigError,
    ConversionError,
    Model,
    Reference,
    Session,
    check_backend,
    load,
    write_bundle,
)
from edge_lstm_runtime.backends import rknn
from edge_lstm_runtime.backends.chunks import ChunkBackend, any_length
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.backends.rknn.packing import Packing
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.auto import choose_backend
from edge_lstm_runtime.verify.bench import latencies
from edge_lstm_runtime.verify.check import verify_backend
from edge_lstm_runtime.verify.error import FLOAT16
from helpers.calibration import calibration_for
from helpers.specs import feature_rows
from helpers.tolerances import TOLERANCES, assert_close

T = 8
FLOAT32 = TOLERANCES["float32"].absolute


class OrtChunks:
    """The vendor's call, answered by ONNX Runtime on the graph of T steps. It hands out the same arrays again, as mapped memory would."""

    def __init__(self, graph: bytes):
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._buffers = None
        self.calls = self.released = 0
        self.fail_at = None

    def inference(self, inputs):
        self.calls += 1
        if self.calls == self.fail_at:
            return None
        outputs = self._session.run(
            None, {i.name: a for i, a in zip(self._session.get_inputs(), inputs, strict=True)}
        )
        self._buffers = self._buffers or [np.empty_like(o) for o in outputs]
        for buffer, output in zip(self._buffers, outputs, strict=True):
            buffer[...] = output
        return self._buffers

    def release(self):
        self.released += 1


def chunks(spec, weights, steps=T):
    """The backend, and the runtime inside."""
    form = fused(spec, weights, {}, steps=steps)
    runtime = OrtChunks(form.graph.SerializeToString())
    packing = Packing(
        form.recipe["io"],
        features=spec.feature_size,
        states=spec.network.state,
    )
    return any_length(RknnBackend(runtime, packing), packing.steps, spec, weights), runtime


def assert_right(found, expected):
    assert_close(found, expected, "float32", "y or state")


@pytest.fixture(params=[1, 2], ids=["one layer", "two layers"])
def model(request, random_model):
    return random_model(request.param, 16, outputs=3)


def test_one_step_at_a_time_is_not_wrapped(random_model):
    spec, weights = random_model(1, 16)
    inner = NumpyBackend(spec, weights)
    assert any_length(inner, 1, spec, weights) is inner
    assert inner.at_once == 1


@pytest.mark.parametrize("length", [1, T - 1, T, T + 1, 3 * T + 2])
def test_a_run_of_any_length(model, length):
    spec, weights = model
    backend, runtime = chunks(spec, weights)
    rows = feature_rows(spec, length)
    reference = Reference(spec, weights)
    assert_right(backend.run(rows), reference.run(rows))
    assert runtime.calls == length // T
    found = backend.state
    for name, expected in reference.state.items():
        assert_right(found[name][None], expected[None])
    assert backend.name == "rknn"
    assert backend.at_once == T


def test_steps_and_runs_mixed_with_the_state_saved_in_the_middle(model):
    spec, weights = model
    backend, runtime = chunks(spec, weights)
    lengths = [1, T, 3, 2 * T + 1, 1, 1, T - 1, T, T, 4 * T, 1]  # 1: a single step
    rows = feature_rows(spec, sum(lengths))
    expected = Reference(spec, weights).run(rows)
    found, saved, start = [], [], 0
    for length in lengths:
        saved.append((start, backend.state))
        part = rows[start : start + length]
        found.append(backend.step(part[0])[None] if length == 1 else backend.run(part))
        start += length
    assert_right(np.concatenate(found), expected)
    assert runtime.calls == sum(length // T for length in lengths)
    for (
        start,
        state,
    ) in saved:  # from each of them on, whatever held the state then and holds it now
        backend.state = state
        assert_right(backend.run(rows[start:]), expected[start:])
    backend.reset()
    assert all((part == 0).all() for part in backend.state.values())
    assert_right(backend.run(rows), expected)


def test_drift_over_ten_thousand_steps(random_model):
    spec, weights = random_model(1, 16)
    backend, _ = chunks(spec, weights)
    rows = feature_rows(spec, 10_003)
    assert_right(backend.run(rows), Reference(spec, weights).run(rows))


def test_states_are_copies_and_wrong_ones_are_refused(model):
    spec, weights = model
    backend, _ = chunks(spec, weights)
    rows = feature_rows(spec, T)
    for use in (lambda: backend.run(rows), lambda: backend.step(rows[0])):
        use()
        before = backend.state
        kept = before["lstm0.h"].copy()
        before["lstm0.h"][:] = 9
        np.testing.assert_array_equal(backend.state["lstm0.h"], kept)
        with pytest.raises(BackendError, match=r"state 'lstm0\.h'"):
            backend.state = {**before, "lstm0.h": kept[:3]}
        np.testing.assert_array_equal(backend.state["lstm0.h"], kept)


def test_single_steps_are_said_once(model, caplog):
    backend, runtime = chunks(*model)
    with caplog.at_level(logging.INFO, logger="edge_lstm"):
        backend.run(feature_rows(model[0], T + 1))
        assert not caplog.records
        for row in feature_rows(model[0], 3):
            backend.step(row)
    assert [r.message for r in caplog.records] == [
        "this converted model takes 8 steps at a time; single steps are computed by NumPy"
    ]
    assert caplog.records[0].levelname == "INFO"
    assert runtime.calls == 1


def test_a_session_keeps_its_state_when_a_chunk_fails(model):
    spec, weights = model
    backend, runtime = chunks(spec, weights)
    xs = feature_rows(spec, 5 * T + 3).astype(np.float64)
    expected = Reference(spec, weights).run(xs)
    session = Session(spec, backend)
    assert_right(session.run(xs[: T + 1]), expected[: T + 1])
    before = session.state
    runtime.fail_at = runtime.calls + 2  # one chunk in, the state of it is there already
    with pytest.raises(BackendError, match="returned no result"):
        session.run(xs[T + 1 :])
    for key, part in session.state.items():
        np.testing.assert_array_equal(part, before[key])
    assert_right(session.run(xs[T + 1 :]), expected[T + 1 :])
    session.close()
    session.close()
    assert runtime.released == 1
    for use in (lambda: session.step(xs[0]), lambda: session.run(xs[:2]), lambda: session.run(xs)):
        with pytest.raises(BackendError, match="closed"):
            use()


# --- the check, the choice of a backend, the bundle ---


@pytest.fixture
def bundle(model, tmp_path, monkeypatch):
    """With artifacts of one and of T steps; the backend "rknn" runs them by ONNX Runtime."""
    return make_bundle(model, tmp_path, monkeypatch)


def make_bundle(model, tmp_path, monkeypatch, *, golden=20 * T + 3, steps=T, only_chunk=False):
    import sys
    import types

    spec, weights = model
    xs = feature_rows(spec, golden).astype(np.float64)
    rows = {
        "a.rknn": {"io": {"form": "lstm", "steps": 1}},
        "a-t.rknn": {"io": {"form": "lstm", "steps": steps}},
    }
    if only_chunk:
        del rows["a.rknn"]
    tolerance = {"metric": "max_abs", "limit": FLOAT32, "reason": "float32"}
    entries = {
        name: {"kind": "rknn", "target": "rk3588", "tolerance": tolerance, "recipe": recipe}
        for name, recipe in rows.items()
    }
    members = {
        "golden.npz": write_npz({"x": xs, "y": Reference(spec, weights).run(xs)}),
        **dict.fromkeys(rows, b"RKNN"),
    }
    opened = []

    def opener(bundle, *, artifact=None):
        opened.append(artifact)
        steps = bundle.manifest["artifacts"][artifact]["recipe"]["io"]["steps"]
        return chunks(bundle.spec, bundle.weights, steps)[0]

    module = types.ModuleType(rknn.__name__)
    vars(module).update({**vars(rknn), "open_backend": opener, "opened": opened})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    made = write_bundle(tmp_path / "c.edge", spec, weights, members, artifacts=entries)
    return made, module


def test_the_check_and_the_benchmark_run_chunks(bundle):
    made, _ = bundle
    result = check_backend(made, "rknn", "a-t.rknn")
    assert result.passed
    assert result.comparison.steps == 20 * T + 3
    times = latencies(made, "rknn", "a-t.rknn", 5 * T - 1)
    assert times.shape == (5,)
    assert (times > 0).all()


def test_the_check_finds_a_wrong_chunk(bundle):
    """Were it left to NumPy, it would pass."""
    made, _ = bundle
    weights = {name: array.copy() for name, array in made.weights.items()}
    weights["lstm0.W_h"][:, :4] += 1e-2
    inner = chunks(made.spec, weights)[0]._chunks
    with pytest.raises(BackendError, match=r"wrong answers with a-t\.rknn"):
        verify_backend(
            made, ChunkBackend(inner, NumpyBackend(made.spec, made.weights), T), "rknn", "a-t.rknn"
        )


def test_a_chunk_longer_than_the_first_check_still_runs(random_model, tmp_path, monkeypatch):
    made, _ = make_bundle(
        random_model(1, 8), tmp_path, monkeypatch, golden=1000, steps=300, only_chunk=True
    )
    backend, runtime = chunks(made.spec, made.weights, 300)
    verify_backend(made, backend, "rknn", "a-t.rknn")
    assert runtime.calls == 1 + 2, "once to warm up, twice to be compared"


def test_a_chunk_longer_than_the_golden_stream_is_no_pass(random_model, tmp_path, monkeypatch):
    made, _ = make_bundle(
        random_model(1, 8), tmp_path, monkeypatch, golden=50, steps=64, only_chunk=True
    )
    with pytest.raises(
        BackendError, match="takes 64 steps at once, and the bundle has 50 golden samples"
    ):
        check_backend(made, "rknn")


def test_auto_takes_no_chunk(bundle):
    made, module = bundle
    choice = choose_backend(made, ("rknn",))
    assert choice.artifact == "a.rknn"
    assert module.opened == ["a.rknn"]
    (reason,) = [r for r in choice.reasons if r.artifact == "a-t.rknn"]
    assert (
        str(reason)
        == "rknn (a-t.rknn): not tried: it takes 8 steps at once, and single steps gain nothing from it"
    )
    assert choose_backend(made, ("rknn", "numpy"), artifact="a-t.rknn").backend.name == "numpy"
    with pytest.raises(
        BackendError, match=r"no backend gives right answers here: rknn \(a-t\.rknn\): not tried"
    ):
        choose_backend(made, ("rknn",), artifact="a-t.rknn")


@pytest.mark.parametrize("steps", [0, -1, 2.0, "8", True, None])
def test_a_manifest_with_strange_steps_is_refused(random_model, tmp_path, monkeypatch, steps):
    with pytest.raises(BundleError, match=r"entry for the artifact 'a-t\.rknn' is malformed"):
        make_bundle(random_model(1, 8), tmp_path, monkeypatch, steps=steps)


class Lite(OrtChunks):
    """RKNNLite, of a board with this graph on its NPU."""

    NPU_CORE_AUTO = 0
    graph = b""

    def __init__(self, **_):
        super().__init__(Lite.graph)

    def load_rknn(self, _):
        return 0

    def init_runtime(self, **_):
        return 0

    def get_sdk_version(self):
        return None


def test_the_board_opens_a_chunk_as_any_other_artifact(bundle, monkeypatch):
    import sys
    import types

    made, _ = bundle
    api = types.ModuleType("rknnlite.api")
    api.RKNNLite = Lite
    monkeypatch.setitem(sys.modules, "rknnlite", types.ModuleType("rknnlite"))
    monkeypatch.setitem(sys.modules, "rknnlite.api", api)
    monkeypatch.setitem(sys.modules, rknn.__name__, rknn)
    monkeypatch.delenv("EDGE_LSTM_NPU_CORES", raising=False)
    x, y = made.golden
    for artifact, steps, kind in (("a-t.rknn", T, ChunkBackend), ("a.rknn", 1, RknnBackend)):
        Lite.graph = fused(made.spec, made.weights, {}, steps=steps).graph.SerializeToString()
        with Model(made).session("rknn", artifact=artifact) as session:
            assert type(session.backend) is kind
            assert_right(session.run(x), y)


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

    cycles, inner_operators = 100, ()

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

    def close(self):
        self.closed = True


class OrtShaped(OrtChunks):
    def inference(self, inputs):
        shapes = [i.shape for i in self._session.get_inputs()]
        return super().inference([a.reshape(s) for a, s in zip(inputs, shapes, strict=True)])


@pytest.fixture
def converted(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(convert_rknn, "Converter", Simulated)
    monkeypatch.setattr(convert_rknn, "unsupported_reason", lambda: None)
    monkeypatch.setattr(convert_rknn, "python", lambda _: None)
    xs = feature_rows(trained.spec, 100).astype(np.float64)
    rows = trained.spec.features(xs)

    def convert(chunk, refuses=False, **more):
        Simulated.refuses = refuses
        work, said = work_for(
            trained,
            tmp_path,
            chunk=chunk,
            stream=xs,
            reference=Reference(trained.spec, trained.weights).run(rows),
            **more,
        )
        return convert_rknn.call(work), said

    return convert


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
        r"rv1103b-w8a8-t8\.rknn was not made: no-lstm-operator: LSTM 'lstm0_y' on rv1103b, whose NPU has no",
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

real = [
    pytest.mark.slow,
    pytest.mark.skipif(
        environment.unsupported_reason() is not None, reason=f"{environment.unsupported_reason()}"
    ),
]


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
    for scheme, limit in (
        ("fp16", FLOAT16.limit),
        ("w8a8", 0.05),
    ):  # w8a8 of a small net, hardly trained
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
    """3 is no multiple of 4, which the manual advises, nor a divisor of 1000; 300 is more than the 128 calibration samples."""
    spec, weights = random_model(2, 16)
    calibration = calibration_for(spec, weights, 128)
    form = fused(spec, weights, calibration, steps=steps)
    rows = feature_rows(spec, 1200)
    graph = form.graph.SerializeToString()
    conversion = Conversion(spec, graph, form.recipe, "rk3588", scheme, calibration)
    with Converter(conversion) as converter:
        found, expected = converter.run(rows), Reference(spec, weights).run(rows)
        assert (
            np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
            <= {"fp16": FLOAT16.limit, "w8a8": 0.1}[scheme]
        )
        assert {r["target"] for r in converter.inner_operators} == {"NPU"}
