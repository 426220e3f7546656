"""Chunks: a converted model of T steps at a time that takes any number.

ONNX Runtime stands for the NPU.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest

from edge_lstm_export.graphs.npu import fused
from edge_lstm_runtime import (
    BackendError,
    BundleError,
    Model,
    Reference,
    Session,
    check_backend,
    write_bundle,
)
from edge_lstm_runtime.backends import rknn
from edge_lstm_runtime.backends.chunks import ChunkBackend, any_length
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.auto import choose_backend
from edge_lstm_runtime.verify.bench import latencies
from edge_lstm_runtime.verify.check import verify_backend
from helpers.chunks import OrtChunks, T, assert_right, chunks
from helpers.specs import feature_rows
from helpers.tolerances import TOLERANCES

FLOAT32 = TOLERANCES["float32"].absolute


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
    found = []
    saved = []
    start = 0
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
    """With artifacts of one and of T steps. The backend "rknn" runs them by ONNX Runtime."""
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
        BackendError, match="takes 64 steps at once, and it can't be checked with 50 samples"
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
        == "rknn (a-t.rknn): not tried: it takes 8 steps at once, and single steps gain nothing "
        "from it"
    )
    assert choose_backend(made, ("rknn", "numpy"), artifact="a-t.rknn").backend.name == "numpy"
    with pytest.raises(
        BackendError, match=r"no backend gives right answers here: rknn \(a-t\.rknn\): not tried"
    ):
        choose_backend(made, ("rknn",), artifact="a-t.rknn")


@pytest.mark.parametrize("steps", [0, -1, 2.0, "8", True, None])
def test_a_manifest_with_strange_steps_is_refused(random_model, tmp_path, monkeypatch, steps):
    with pytest.raises(
        BundleError, match=r"entry for the artifact 'a-t\.rknn' has no valid recipe\.io\.steps$"
    ):
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
