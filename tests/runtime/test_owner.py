"""A session that is closed, used by two threads, or given another model's state, says so."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import BackendError
from edge_lstm_runtime.native import LIBRARY
from helpers.bundles import make_bundle
from helpers.sounds import LOG_MEL, sound_spec
from helpers.specs import make_spec, samples
from helpers.tolerances import assert_close

SPEC = make_spec(hidden=16, missing="ffill")
NAMES = [
    "reference",
    "numpy",
    "onnx",
    pytest.param("native", marks=pytest.mark.skipif(not LIBRARY.exists(), reason="not built")),
]
X = [1.0, 2.0, 3.0]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> rt.Model:
    return rt.Model(make_bundle(tmp_path_factory.mktemp("owner") / "a.edge", SPEC, form="fused"))


def uses(session: rt.Session) -> dict[str, Callable[[], object]]:
    """Every way to use a session, by its name for who reads a failure's locals."""
    state = session.state
    x = X if session.streams is None else [X] * session.streams

    def assign() -> None:
        session.state = state

    found = {
        "step": lambda: session.step(x),
        "steps": lambda: session.steps(np.array([x, x])),
        "run": lambda: session.run([x, x]),
        "run of nothing": lambda: session.run(np.empty((0, *np.shape(x)))),
        "state": lambda: session.state,
        "state =": assign,
        "reset": session.reset,
        "hand_over": session.hand_over,
    }
    if isinstance(session, rt.StreamsSession):
        streams = session
        found["reset of one"] = lambda: streams.reset(stream=0)
    return found


@pytest.mark.parametrize("streams", [None, 2])
def test_a_closed_session_answers_nothing(name: str, streams: int | None, model: rt.Model) -> None:
    session = model.session(name, streams=streams)
    x = X if streams is None else [X] * streams
    session.step(x)
    kept = session.step  # as a loop keeps it
    ways = uses(session)
    session.close()
    for use in (*ways.values(), lambda: kept(x), lambda: session.listen(np.zeros(100))):
        with pytest.raises(BackendError, match=r"^this session is closed; open a new one$"):
            use()
    session.close()


def test_a_closed_session_listens_to_nothing(tmp_path: Path) -> None:
    session = rt.Model(make_bundle(tmp_path / "a.edge", sound_spec(LOG_MEL))).session("numpy")
    session.listen(np.zeros(100, np.int16))
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.listen(np.zeros(100, np.int16))


@pytest.fixture
def elsewhere() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Calls in one other thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="other") as pool:
        yield lambda call: pool.submit(call).result()


@pytest.mark.parametrize("streams", [None, 2])
def test_a_second_thread_is_refused(
    name: str, streams: int | None, model: rt.Model, elsewhere: Callable[..., Any]
) -> None:
    session = model.session(name, streams=streams)
    x = X if streams is None else [X] * streams
    session.step(x)
    before = session.state
    for use in uses(session).values():
        with pytest.raises(
            BackendError,
            match=r"^this session is used by the thread 'MainThread': .* hand_over\(\)",
        ):
            elsewhere(use)
    for key, value in session.state.items():
        np.testing.assert_array_equal(value, before[key])
    assert np.isfinite(session.step(x)).all()


def test_a_session_is_handed_over(
    name: str, model: rt.Model, elsewhere: Callable[..., Any]
) -> None:
    xs = samples(SPEC, 3)
    with model.session(name) as alone, model.session(name) as shared:
        expected = [alone.step(x) for x in xs]
        found = [shared.step(xs[0])]
        shared.hand_over()
        found.append(elsewhere(lambda: shared.step(xs[1])))
        with pytest.raises(BackendError, match=r"used by the thread 'other_0'"):
            shared.step(xs[2])
        with pytest.raises(BackendError, match=r"used by the thread 'other_0'"):
            shared.hand_over()
        elsewhere(shared.hand_over)
        found.append(shared.step(xs[2]))
    np.testing.assert_array_equal(found, expected)


def test_the_first_thread_that_uses_it_has_it(
    model: rt.Model, elsewhere: Callable[..., Any]
) -> None:
    session = model.session("numpy")  # opened here
    elsewhere(lambda: session.step(X))
    with pytest.raises(BackendError, match=r"used by the thread 'other_0'"):
        session.step(X)
    session.close()  # as the end of a `with` does
    with pytest.raises(BackendError, match="closed"):
        elsewhere(lambda: session.step(X))


def test_a_thread_that_has_ended_has_nothing(model: rt.Model) -> None:
    session = model.session("numpy")
    thread = threading.Thread(target=lambda: session.step(X))
    thread.start()
    thread.join()
    assert np.isfinite(session.step(X)).all()


def test_two_threads_never_get_a_wrong_answer(name: str, model: rt.Model) -> None:
    """Each starts anew, and streams a recording of its own: right, or an error."""
    session = model.session(name)
    recordings = [samples(SPEC, 20), samples(SPEC, 20)[::-1].copy()]
    with model.session(name) as other:
        expected = []
        for xs in recordings:
            other.reset()
            expected.append(other.run(xs))
    refused = [0, 0]
    wrong = [0, 0]
    barrier = threading.Barrier(2)
    interval = sys.getswitchinterval()
    end = time.monotonic() + 10

    def stream(which: int) -> None:
        barrier.wait()
        turns = 0
        while turns < 200 or (not sum(refused) and time.monotonic() < end):
            turns += 1
            try:
                session.reset()
                answers = [session.step(x) for x in recordings[which]]
            except BackendError:
                refused[which] += 1
                continue
            wrong[which] += not np.array_equal(answers, expected[which])

    threads = [threading.Thread(target=stream, args=(k,)) for k in range(2)]
    sys.setswitchinterval(1e-5)  # seconds: a step in C takes less than the usual 5 ms
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == [0, 0]
    assert sum(refused) > 0


# --- whose state it is ---


def test_a_state_tells_its_model(name: str, model: rt.Model, tmp_path: Path) -> None:
    other = rt.Model(make_bundle(tmp_path / "other.edge", SPEC, seed=1, form="fused"))
    with model.session(name) as session, other.session(name) as stranger:
        session.run(samples(SPEC, 4))
        saved = session.state
        assert saved["model"].shape == (16,)
        before = stranger.state
        with pytest.raises(BackendError, match=r"^state is of another model: "):
            stranger.state = saved
        for key, value in stranger.state.items():
            np.testing.assert_array_equal(value, before[key])
    # The same model on any backend, and through a file.
    np.savez(tmp_path / "state.npz", **saved)
    with model.session("numpy") as session, np.load(tmp_path / "state.npz") as file:
        session.state = file
        np.testing.assert_array_equal(session.state["lstm0.h"], np.float32(saved["lstm0.h"]))


def test_a_streams_rows_are_states(model: rt.Model) -> None:
    """Each stream's own, for a session of one."""
    with model.session("numpy", streams=2) as both, model.session("numpy") as one:
        both.run(np.repeat(samples(SPEC, 4)[:, None], 2, axis=1) * [[[1.0], [2.0]]])
        assert both.state["model"].shape == (2, 16)
        one.state = {name: array[1] for name, array in both.state.items()}
        assert_close(one.step(X), both.step([X, X])[1], "float32", "the second stream")


def test_other_names_or_statistics_are_another_model(tmp_path: Path) -> None:
    first = make_bundle(tmp_path / "a.edge", make_spec())
    assert np.array_equal(first.fingerprint, make_bundle(tmp_path / "b.edge").fingerprint)
    for spec in (make_spec(channels=["a", "b", "c"]), make_spec(mean=[0.0, 0.0, 0.0])):
        other = make_bundle(tmp_path / "c.edge", spec)
        assert not np.array_equal(first.fingerprint, other.fingerprint)


def test_a_state_of_an_earlier_version_has_no_model(model: rt.Model) -> None:
    with model.session("numpy") as session:
        session.run(samples(SPEC, 4))
        saved = session.state
        expected = session.step(X)
        del saved["model"]
        session.state = saved
        np.testing.assert_array_equal(session.step(X), expected)


@pytest.mark.parametrize("value", [None, "abc", [1, 2], np.zeros(16, np.uint8), [[1], [2, 3]]])
def test_what_is_no_fingerprint_is_refused(value: Any, model: rt.Model) -> None:
    with (
        model.session("numpy") as session,
        pytest.raises(BackendError, match=r"^state is of another model"),
    ):
        session.state = {**session.state, "model": value}
