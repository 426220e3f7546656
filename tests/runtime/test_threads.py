"""Streams divided over threads: the answers and the states of one thread, to the bit."""

from __future__ import annotations

import gc
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BackendError, ConfigError, Model, ModelSpec, SampleError
from edge_lstm_runtime.backends.parallel import ParallelStreams, part_sizes
from edge_lstm_runtime.native import LIBRARY
from helpers.arrays import Array
from helpers.bundles import make_bundle
from helpers.specs import make_spec, samples

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY.name} is not built")
N = 11


def opened(path: Path, **settings: Any) -> Model:
    return Model(make_bundle(path / "m.edge", make_spec(hidden=12, layers=2, **settings)))


def recordings(spec: ModelSpec, steps: int = 20) -> Array:
    """(steps, N, C), every stream its own, with gaps if the model takes them."""
    xs = np.stack([samples(spec, steps, seed=k) for k in range(N)], axis=1)
    if spec.inputs.missing != "refuse":
        xs[np.random.default_rng(9).random(xs.shape) < 0.2] = np.nan
    return xs


def assert_same_states(one: Any, other: Any) -> None:
    for name, value in one.state.items():
        np.testing.assert_array_equal(other.state[name], value, err_msg=name)


def threads_alive() -> int:
    return sum(thread.name == "edge-lstm streams" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("streams", "threads", "sizes"),
    [(64, 2, [32, 32]), (11, 2, [4, 7]), (11, 3, [4, 4, 3]), (11, 8, [4, 4, 3]), (4, 4, [4])],
)
def test_parts_begin_at_multiples_of_four(streams: int, threads: int, sizes: list[int]) -> None:
    assert part_sizes(streams, threads) == sizes


@pytest.mark.parametrize("backend", ["native", "native-int8"])
@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
def test_answers_are_one_thread_s(backend: str, missing: str, tmp_path: Path) -> None:
    model = opened(tmp_path, task="forecast", outputs=2, missing=missing, residual=True)
    xs = recordings(model.spec)
    verify = backend == "native"  # the bundle promises no accuracy in int8
    with (
        model.session(backend, streams=N, verify=verify) as one,
        model.session(backend, streams=N, verify=verify, threads=3) as three,
    ):
        assert isinstance(three.backend, ParallelStreams)
        for x in xs[:8]:
            np.testing.assert_array_equal(three.step(x), one.step(x))
        np.testing.assert_array_equal(three.run(xs[8:12]), one.run(xs[8:12]))
        np.testing.assert_array_equal(three.steps(xs[12:]), one.steps(xs[12:]))
        assert_same_states(one, three)
        for session in (one, three):
            session.reset(streams=[0, 5, 10])
        assert_same_states(one, three)
        three.state = one.state
        np.testing.assert_array_equal(three.step(xs[0].tolist()), one.step(xs[0].tolist()))
        assert threads_alive() >= 2


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300])
@pytest.mark.parametrize("stream", [0, 10])
def test_a_refused_sample_changes_no_part(value: float, stream: int, tmp_path: Path) -> None:
    model = opened(tmp_path)
    xs = recordings(model.spec)
    with (
        model.session("native", streams=N) as one,
        model.session("native", streams=N, threads=2) as two,
    ):
        for session in (one, two):
            session.step(xs[0])
        bad = xs[1].copy()
        bad[stream, 1] = value
        with pytest.raises((SampleError, BackendError)):
            two.step(bad)
        assert_same_states(one, two)
        for shape in ((N,), (N - 1, 3), (N, 4)):
            with pytest.raises(SampleError):
                two.step(np.zeros(shape))
        assert len(two.steps(np.stack([xs[1], bad]))) == 1
        one.step(xs[1])
        assert_same_states(one, two)


def test_close_ends_the_threads(tmp_path: Path) -> None:
    model = opened(tmp_path)
    before = threads_alive()
    session = model.session("native", streams=N, threads=2)
    worker = session.backend._workers[0]._thread  # type: ignore[attr-defined]
    session.close()
    worker.join(10)
    assert not worker.is_alive()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.step(np.zeros((N, 3)))
    forgotten = model.session("native", streams=N, threads=2)
    worker = forgotten.backend._workers[0]._thread  # type: ignore[attr-defined]
    del forgotten
    gc.collect()
    worker.join(10)
    assert not worker.is_alive()
    assert threads_alive() <= before


def test_a_part_that_fails_is_named_and_the_threads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(tmp_path)
    x = np.zeros((N, model.spec.inputs.feature_size), np.float32)
    with model.session("native", streams=N, threads=2) as session:
        backend = session.backend
        assert isinstance(backend, ParallelStreams)
        right = backend.step(x)

        def fails(_: Array) -> Array:
            raise MemoryError("no memory")

        monkeypatch.setattr(backend._parts[1], "step", fails)
        with pytest.raises(BackendError, match=r"streams 4 to 10 failed.*no memory; reset"):
            backend.step(x)
        monkeypatch.undo()
        session.reset()
        np.testing.assert_array_equal(backend.step(x), right)


def _in_the_fork(session: Any, x: Array, told: Any) -> None:
    try:
        session.backend.step(x)
    except BackendError as e:
        told.put(str(e))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_told(tmp_path: Path) -> None:
    model = opened(tmp_path)
    x = np.zeros((N, model.spec.inputs.feature_size), np.float32)
    context = multiprocessing.get_context("fork")
    with model.session("native", streams=N, threads=2) as session:
        told = context.SimpleQueue()
        child = context.Process(target=_in_the_fork, args=(session, x, told))
        child.start()
        child.join(20)
        assert child.exitcode == 0
        assert "open a session here" in told.get()
        session.backend.step(x)


@pytest.mark.parametrize("threads", [0, -1, N + 1, True, 2.0, "2", None])
def test_bad_numbers_are_one_line(threads: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^threads is .*; expected a whole number") as e:
        opened(tmp_path).session("native", streams=N, threads=threads)
    assert "\n" not in str(e.value)


def test_where_threads_do_not_apply(tmp_path: Path) -> None:
    model = opened(tmp_path)
    with pytest.raises(ConfigError, match="only a session with streams=N"):
        model.session("native", threads=2)
    for name in ("auto", "numpy"):
        with pytest.raises(ConfigError, match="choose one of native, native-fp16, native-int8"):
            model.session(name, streams=N, threads=2)
