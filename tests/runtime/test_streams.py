"""Several streams in one session: each is as a session of its own would be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_export.graphs.packed import packed
from edge_lstm_runtime import (
    Backend,
    BackendError,
    Bundle,
    ConfigError,
    Model,
    ModelSpec,
    SampleError,
    StreamsSession,
    write_bundle,
)
from edge_lstm_runtime.backends.looped import LoopedStreams, looped
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyBackend, NumpyStreams
from edge_lstm_runtime.backends.registry import open_backend
from edge_lstm_runtime.native import LIBRARY
from helpers.arrays import Array
from helpers.bundles import artifact_entry, make_bundle, members_of
from helpers.calibration import calibration_for
from helpers.plug_ins import plug_in, replace_backend
from helpers.specs import make_spec, samples
from helpers.stand_in import on_ort
from helpers.tolerances import assert_close
from helpers.weights import random_weights

pytestmark = pytest.mark.usefixtures("no_native")
built = pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY.name} is not built")
N = 5
BACKENDS = ("numpy", "onnx", "reference")


def bundle_of(path: Path, spec: ModelSpec) -> Bundle:
    return make_bundle(path / "m.edge", spec, form="fused")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    spec = make_spec(
        task="forecast", outputs=2, missing="ffill", residual=True, hidden=12, layers=2
    )
    return Model(bundle_of(tmp_path_factory.mktemp("streams"), spec))


def recordings(spec: ModelSpec, steps: int, streams: int = N) -> Array:
    """(steps, N, C), every stream its own, with gaps if the model takes them."""
    xs = np.stack([samples(spec, steps, seed=k) for k in range(streams)], axis=1)
    if spec.inputs.missing != "refuse":
        xs[np.random.default_rng(9).random(xs.shape) < 0.2] = np.nan
    return xs


def assert_state(
    session: StreamsSession, expected: dict[str, Array], tensor: str, tolerance: str = "exact"
) -> None:
    for key, value in session.state.items():
        assert_close(value, expected[key], tolerance, f"{tensor} {key}")


def tolerance_of(name: str) -> str:
    return "float32" if name == "numpy" else "exact"  # NumPy's sums come in another order there


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
@pytest.mark.parametrize("kind", ["classify", "forecast", "residual"])
def test_streams_are_separate_sessions(name: str, missing: str, kind: str, tmp_path: Path) -> None:
    task = "classify" if kind == "classify" else "forecast"
    spec = make_spec(
        task=task, outputs=3, missing=missing, residual=kind == "residual", hidden=12, layers=2
    )
    model = Model(bundle_of(tmp_path, spec))
    xs = recordings(spec, 40)
    together = model.session(name, streams=N)
    answers = np.concatenate([np.stack([together.step(x) for x in xs[:15]]), together.run(xs[15:])])
    assert answers.shape == (40, N, spec.output_size)
    for k in range(N):
        alone = model.session(name)
        assert answers.dtype == alone.backend.dtype
        assert_close(answers[:, k], alone.run(xs[:, k]), tolerance_of(name), f"stream {k}")
        for key, value in alone.state.items():
            assert_close(together.state[key][k], value, tolerance_of(name), f"stream {k} {key}")


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("streams", [1, 17])
def test_shapes(name: str, streams: int, model: Model) -> None:
    session = model.session(name, streams=streams)
    assert isinstance(session, StreamsSession)
    assert session.streams == streams
    spec = model.spec
    assert session.step(np.zeros((streams, 3))).shape == (streams, spec.output_size)
    assert session.run(np.zeros((4, streams, 3))).shape == (4, streams, spec.output_size)
    for empty in ([], np.empty((0, streams, 3))):
        assert session.run(empty).shape == (0, streams, spec.output_size)
    state = session.state
    for name in ("lstm0.h", "lstm0.c", "lstm1.h", "lstm1.c"):
        assert state[name].shape == (streams, 12)
    assert state["last"].shape == (streams, 3)


def test_numpy_answers_them_together_and_others_one_by_one(model: Model) -> None:
    assert isinstance(model.session("numpy", streams=N).backend, NumpyStreams)
    assert isinstance(model.session("onnx", streams=N).backend, LoopedStreams)
    assert model.session("onnx", streams=N).backend.name == "onnx"


def test_without_streams_all_is_as_it_was(model: Model) -> None:
    session = model.session("numpy")
    assert not isinstance(session, StreamsSession)
    assert session.streams is None
    assert session.step([0.0, 1.0, 2.0]).shape == (4,)


@pytest.mark.parametrize("streams", [0, -1, 2.0, "2", True])
def test_a_number_of_streams_that_is_none(streams: Any, model: Model) -> None:
    with pytest.raises(ConfigError, match=r"streams is .*; expected a whole number from 1"):
        model.session("numpy", streams=streams)


@pytest.mark.parametrize("name", BACKENDS)
def test_answers_are_not_aliased(name: str, model: Model) -> None:
    session = model.session(name, streams=N)
    xs = recordings(model.spec, 6)
    kept = [session.step(x) for x in xs]
    copies = [answer.copy() for answer in kept]
    session.run(xs)
    assert_close(np.stack(kept), np.stack(copies), "exact", "answers after later steps")


# --- reset and state ---


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, range(N)),
        ({"stream": 2}, [2]),
        ({"stream": np.int64(2)}, [2]),
        ({"streams": [0, 3]}, [0, 3]),
        ({"streams": np.array([0, 3])}, [0, 3]),
        ({"streams": np.array([3], np.uint8)}, [3]),
        ({"streams": range(1, 3)}, [1, 2]),
        ({"streams": []}, []),
        ({"streams": np.array([])}, []),
    ],
)
def test_reset_of_some(name: str, options: dict[str, Any], chosen: list[int], model: Model) -> None:
    xs = recordings(model.spec, 30)
    session = model.session(name, streams=N)
    fresh = model.session(name, streams=N).state
    session.run(xs)
    expected = session.state
    session.reset(**options)
    for key in expected:
        expected[key][list(chosen)] = fresh[key][list(chosen)]
    assert_state(session, expected, "state after the reset")
    answers = session.run(xs)
    for k in range(N):
        alone = model.session(name)
        if k not in chosen:
            alone.run(xs[:, k])
        assert_close(
            answers[:, k], alone.run(xs[:, k]), tolerance_of(name), f"stream {k} after the reset"
        )


@pytest.mark.parametrize(
    "options",
    [
        {"stream": N},
        {"stream": -1},
        {"streams": [0, N]},
        {"stream": "0"},
        {"stream": True},
        {"stream": 1.0},
        {"streams": [False, True]},
        {"streams": np.array([True, False, True, True, True])},
        {"streams": np.array([0.0, 1.0])},
        {"streams": np.array([[0, 1]])},
        {"streams": 2},
        {"streams": np.array(2)},
        {"streams": "0"},
        {"stream": 0, "streams": [1]},
        {"stream": 0, "streams": np.array([1, 2])},
    ],
)
def test_reset_of_what_is_not_there(options: dict[str, Any], model: Model) -> None:
    session = model.session("numpy", streams=N)
    session.run(recordings(model.spec, 3))
    before = session.state
    with pytest.raises(
        ConfigError,
        match=r"stream .* is not there; expected 0 to 4|expected one of the two|a list of numbers",
    ):
        session.reset(**options)
    assert_state(session, before, "state")


class Together(Backend):
    """A plug-in for N streams that has no more than the methods it must have."""

    name = "together"

    def __init__(self, bundle: Bundle, streams: int):
        self._inner = NumpyStreams(bundle.spec, bundle.weights, streams)

    def reset(self) -> None:
        self._inner.reset()

    def step(self, features: Any) -> Any:
        return self._inner.step(features)

    @property
    def state(self) -> Any:
        return self._inner.state

    @state.setter
    def state(self, value: Any) -> None:
        self._inner.state = value


def of_streams(name: str, bundle: Bundle) -> Callable[[], Backend]:
    """Opens a backend for N streams."""
    spec = bundle.spec
    weights = bundle.weights
    if name == "plug-in":
        return lambda: Together(bundle, N)
    if name.startswith("native"):
        formats = {"native": "float32", "native-int8": "int8", "native-fp16": "float16"}
        return lambda: NativeBackend(spec, weights, formats[name], streams=N)
    if name == "packed w8a8":
        form = packed(spec, weights, calibration_for(spec, weights, 200))
        graph = form.graph.SerializeToString()
        return lambda: looped(lambda: on_ort(spec, graph, form.recipe["io"]), N)
    return lambda: open_backend(name, bundle, streams=N)


@pytest.mark.parametrize(
    "name",
    [
        *BACKENDS,
        *(pytest.param(n, marks=built) for n in ("native", "native-int8", "native-fp16")),
        "plug-in",
        "packed w8a8",
    ],
)
@pytest.mark.parametrize("chosen", [[1], [0, 2, 3], []])
def test_the_streams_that_are_not_reset_answer_to_the_last_bit_as_before(
    name: str, chosen: list[int], model: Model
) -> None:
    """Their rounding errors are kept too, which the packed form carries and no state shows."""
    opener = of_streams(name, model.bundle)
    left, some, fresh = (StreamsSession(model.spec, opener(), N) for _ in range(3))
    xs = recordings(model.spec, 60)
    for session in (left, some):
        session.run(xs[:30])
    some.reset(streams=chosen)
    expected = left.run(xs[30:])
    expected[:, chosen] = fresh.run(xs[30:])[:, chosen]
    assert_close(some.run(xs[30:]), expected, "exact", f"{name} after the reset")


@pytest.mark.parametrize("name", ["numpy", "onnx", "plug-in"])
@pytest.mark.parametrize("wrong", [N, -1])
def test_a_backend_refuses_a_stream_that_is_not_there(name: str, wrong: int, model: Model) -> None:
    backend = of_streams(name, model.bundle)()
    backend.run(np.ones((3, N, 3), np.float32))
    before = backend.state
    with pytest.raises(BackendError, match=f"^stream {wrong} is not there; expected 0 to 4$"):
        backend.reset_streams([0, wrong])
    for key, value in backend.state.items():
        assert_close(value, before[key], "exact", key)


@pytest.mark.parametrize(("name", "other"), list(itertools.product(BACKENDS, BACKENDS)))
def test_save_and_restore(name: str, other: str, model: Model) -> None:
    xs = recordings(model.spec, 40)
    session = model.session(name, streams=N)
    target = model.session(other, streams=N)
    session.run(xs[:20])
    saved = session.state
    expected = session.run(xs[20:])
    session.state = saved
    assert_close(session.run(xs[20:]), expected, "exact", f"{name} after restoring")
    target.state = saved
    assert_close(target.run(xs[20:]), expected, "float32", f"{name} continued on {other}")


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("key", ["lstm0.h", "lstm1.c", "last"])
@pytest.mark.parametrize(
    "change",
    [lambda a: a[:-1], lambda a: a[0], lambda a: np.full_like(a, np.nan)],
    ids=["fewer", "one", "NaN"],
)
def test_a_refused_state_changes_nothing(
    name: str, key: str, change: Callable[[Array], Array], model: Model
) -> None:
    session = model.session(name, streams=N)
    session.run(recordings(model.spec, 5))
    before = session.state
    with pytest.raises(BackendError, match=key):
        session.state = {**before, key: change(before[key])}
    assert_state(session, before, f"{name} after a refused state")


# --- samples that are refused ---


@pytest.mark.parametrize("name", BACKENDS)
def test_a_refused_sample_names_stream_and_channel_and_changes_nothing(
    name: str, model: Model
) -> None:
    xs = recordings(model.spec, 20)
    session = model.session(name, streams=N)
    session.run(xs[:10])
    before = session.state
    bad = xs[10:].copy()
    bad[7, 3, 1] = np.inf
    bad[8, 0, 0] = np.inf
    with pytest.raises(SampleError, match=r"^stream 3: channel 'ch1' is inf"):
        session.step(bad[7])
    assert_state(session, before, "after a refused sample")
    with pytest.raises(SampleError, match=r"^row 7: stream 3: channel 'ch1' is inf"):
        session.run(bad)
    assert_state(session, before, "after a refused run")


def test_a_gap_that_is_refused(tmp_path: Path) -> None:
    session = Model(bundle_of(tmp_path, make_spec())).session("numpy", streams=2)
    with pytest.raises(SampleError, match=r"^stream 1: channel 'ch2' is NaN .* missing = 'refuse'"):
        session.step([[0.0, 0.0, 0.0], [0.0, 0.0, np.nan]])


def test_a_value_too_far_off_among_good_ones(model: Model) -> None:
    x = np.zeros((N, 3))
    x[4, 2] = -1e300
    with pytest.raises(
        SampleError,
        match=r"^stream 4: channel 'ch2' is -1e\+300, more than 1e\+30 standard deviations",
    ):
        model.session("numpy", streams=N).step(x)


BAD = {
    "one sample": np.zeros(3),
    "a stream too few": np.zeros((N - 1, 3)),
    "a channel too many": np.zeros((N, 4)),
    "ragged": [[0.0, 0.0, 0.0]] * (N - 1) + [[0.0]],
    "text": [["a", "b", "c"]] * N,
    "None": None,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_samples_of_another_shape(bad: Any, model: Model) -> None:
    session = model.session("numpy", streams=N)
    session.run(recordings(model.spec, 3))
    before = session.state
    with pytest.raises(SampleError, match=r"5 x 3|\(5, 3\)"):
        session.step(bad)
    with pytest.raises(SampleError, match=r"expected \(steps, 5, 3\)|expected numbers"):
        session.run([bad])
    assert_state(session, before, "state")


# --- what a backend may offer ---


def register(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
    replace_backend(monkeypatch, name, **functions)


def test_a_plug_in_that_answers_them_together(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(
        tmp_path,
        "streams",
        together="from edge_lstm_runtime.backends.numpy import FACTS, open_backend, open_streams\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(model.session("together", streams=N).backend, NumpyStreams)


def test_backends_are_closed_where_one_can_not_be_opened(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Backend] = []
    closed: list[Backend] = []

    class Closing(NumpyBackend):
        def close(self) -> None:
            closed.append(self)

    def opener(bundle: Bundle, **_: Any) -> Backend:
        if len(opened) == 3:
            raise BackendError("no room for another")
        opened.append(Closing(bundle.spec, bundle.weights))
        return opened[-1]

    register(monkeypatch, "onnx", open_backend=opener)
    with pytest.raises(BackendError, match="no room for another"):
        model.session("onnx", streams=N)
    assert closed == opened
    opened.clear()
    closed.clear()
    with model.session("onnx", streams=3):
        assert not closed
    assert closed == opened


def test_a_run_that_fails_in_one_stream_leaves_all_as_they_were(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = itertools.count()

    class Failing(NumpyBackend):
        def run(self, features: Any) -> Any:
            if next(count) == N + 2:
                raise BackendError("the device is gone")
            return super().run(features)

    register(
        monkeypatch, "onnx", open_backend=lambda bundle, **_: Failing(bundle.spec, bundle.weights)
    )
    xs = recordings(model.spec, 20)
    session = model.session("onnx", streams=N, verify=False)
    session.run(xs[:10])
    before = session.state
    with pytest.raises(BackendError, match="the device is gone"):
        session.run(xs[10:])
    assert_state(session, before, "after a failed run")


def test_auto_is_right_and_starts_at_zero(model: Model) -> None:
    session = model.session("auto", streams=N)
    assert not session.state["lstm0.h"].any()
    xs = recordings(model.spec, 30)
    assert_close(
        session.run(xs), model.session("reference", streams=N).run(xs), "float32", "answers"
    )


def test_one_wrong_stream_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a converted model at load, and by "auto".

    One stream among many weighs little in the error over all of them.
    """
    spec = make_spec(hidden=16)
    weights = random_weights(spec)
    members = {**members_of(spec, weights), "a.rknn": b"RKNN"}
    entry = artifact_entry()
    model = Model(
        write_bundle(tmp_path / "m.edge", spec, weights, members, artifacts={"a.rknn": entry})
    )
    off = {**weights, "head.b": weights["head.b"] + np.float32(1.5 * entry["tolerance"]["limit"])}

    def opener(wrong: bool) -> Callable[..., Backend]:
        numbers = itertools.count(1)
        return lambda *_, **__: NumpyBackend(
            spec, off if wrong and next(numbers) == 20 else weights
        )

    register(monkeypatch, "rknn", open_backend=opener(wrong=False))
    model.session("rknn", streams=20).close()
    register(monkeypatch, "rknn", open_backend=opener(wrong=True))
    with pytest.raises(BackendError, match=r"'rknn' gives wrong answers with a\.rknn here"):
        model.session("rknn", streams=20)
    register(monkeypatch, "rknn", open_backend=opener(wrong=True))
    assert model.session("auto", streams=20).backend.name == "numpy"
