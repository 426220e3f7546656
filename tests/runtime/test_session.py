"""A stream through every backend: the state is carried, saved, restored and never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import (
    Backend,
    BackendError,
    Model,
    ModelSpec,
    Reference,
    SampleError,
    Session,
    load,
)
from edge_lstm_runtime.backends.chunks import ChunkBackend
from edge_lstm_runtime.backends.looped import looped
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyBackend, NumpyStreams
from helpers.backends import BACKENDS, open_any, rknn_on_ort
from helpers.bundles import make_bundle
from helpers.specs import make_spec, samples
from helpers.tolerances import TOLERANCES, assert_close
from helpers.weights import random_weights

FORECAST = make_spec(
    task="forecast", outputs=2, missing="ffill", residual=True, hidden=12, layers=2
)
CLASSIFY = make_spec(hidden=12, layers=2)


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def open_session(name: str, spec: ModelSpec = FORECAST) -> Session:
    return Session(spec, open_any(name, spec, random_weights(spec)))


def with_gaps(spec: ModelSpec, steps: int) -> np.ndarray[Any, Any]:
    xs = samples(spec, steps)
    xs[np.random.default_rng(9).random(xs.shape) < 0.2] = np.nan
    return xs


@pytest.mark.parametrize("spec", [CLASSIFY, FORECAST], ids=["classify", "forecast"])
def test_step_is_run(name: str, spec: ModelSpec) -> None:
    xs = samples(spec, 60) if spec is CLASSIFY else with_gaps(spec, 60)
    stepped = open_session(name, spec)
    ran = open_session(name, spec)
    one_by_one = [stepped.step(x) for x in xs]
    at_once = np.concatenate([ran.run(xs[:1]), ran.run(xs[1:37]), ran.run(xs[37:])])
    assert_close(np.stack(one_by_one), at_once, "exact", f"{name} answers")
    for key, value in stepped.state.items():
        assert_close(value, ran.state[key], "exact", f"{name} state {key}")


def test_answers_are_not_aliased(name: str) -> None:
    session = open_session(name)
    xs = samples(FORECAST, 10)
    kept = [session.step(x) for x in xs]
    copies = [a.copy() for a in kept]
    session.run(xs)
    for n, (answer, copy) in enumerate(zip(kept, copies, strict=True)):
        assert_close(answer, copy, "exact", f"{name} answer {n} after later steps")
    assert not np.array_equal(kept[0], kept[1])


def test_a_backends_own_answers_are_not_aliased(name: str) -> None:
    backend = open_any(name, CLASSIFY, random_weights(CLASSIFY))
    rows = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    kept = [backend.step(row) for row in rows]
    backend.reset()
    assert_close(np.stack(kept), backend.run(rows), "exact", f"{name} outputs")


def test_dtype_and_shape(name: str) -> None:
    session = open_session(name)
    dtype = np.float64 if name == "reference" else np.float32
    assert session.step([0.0, 1.0, 2.0]).dtype == dtype
    assert session.run(np.zeros((4, 3))).dtype == dtype
    assert session.run(np.zeros((4, 3))).shape == (4, 4)


@pytest.mark.parametrize(
    "empty", [[], np.empty((0, 3)), np.empty(0)], ids=["list", "two-dimensional", "one-dimensional"]
)
def test_no_samples_no_answers(name: str, empty: Any) -> None:
    session = open_session(name)
    session.step([1.0, 2.0, 3.0])
    before = session.state
    answers = session.run(empty)
    assert answers.shape == (0, 4)
    assert answers.dtype == session.backend.dtype
    for key, value in session.state.items():
        assert_close(value, before[key], "exact", key)


@pytest.mark.parametrize("streams", [None, 2])
@pytest.mark.parametrize("backend", [*BACKENDS, "native", "looped", "chunks"])
def test_a_backend_answers_no_rows_with_no_rows(backend: str, streams: int | None) -> None:
    weights = random_weights(CLASSIFY)

    def one() -> Backend:
        if backend == "native":
            return NativeBackend(CLASSIFY, weights)
        if backend == "chunks":
            runtime = open_any("numpy", CLASSIFY, weights)  # answers any number of rows
            return ChunkBackend(runtime, NumpyBackend(CLASSIFY, weights), 4)
        return open_any("numpy" if backend == "looped" else backend, CLASSIFY, weights)

    together = {"native": NativeBackend, "numpy": NumpyStreams}
    if streams is None:
        found = one()
    elif backend in together:
        found = together[backend](CLASSIFY, weights, streams=streams)
    else:
        found = looped(one, streams)
    batch = () if streams is None else (streams,)
    rows = np.random.default_rng(0).standard_normal((3, *batch, 3)).astype(np.float32)
    found.run(rows)
    before = found.state
    answers = found.run(rows[:0])
    assert (answers.shape, answers.dtype) == ((0, *batch, 4), found.dtype)
    for key, value in found.state.items():
        assert_close(value, before[key], "exact", key)


def test_reset_in_mid_stream(name: str) -> None:
    session = open_session(name)
    xs = with_gaps(FORECAST, 30)
    first = session.run(xs)
    assert not np.array_equal(session.run(xs), first)
    session.reset()
    assert_close(session.run(xs), first, "exact", f"{name} after reset")


def test_unequal_lengths_do_not_touch_each_other(name: str) -> None:
    session = open_session(name)
    recordings = [with_gaps(FORECAST, n) for n in (1, 17, 5)]
    for xs in recordings:
        session.reset()
        assert_close(
            session.run(xs), open_session(name).run(xs), "exact", f"{name}, {len(xs)} steps"
        )


def test_two_sessions_of_one_model_are_independent(classify_file: Path) -> None:
    model = load(classify_file)
    xs = samples(model.spec, 20)
    a = model.session("numpy")
    b = model.session("numpy")
    alone = model.session("numpy").run(xs)
    interleaved = [(a.step(x), b.step(-x))[0] for x in xs]
    assert_close(np.stack(interleaved), alone, "exact", "answers of the first session")


def test_save_and_restore(name: str) -> None:
    session = open_session(name)
    xs = with_gaps(FORECAST, 40)
    session.run(xs[:20])
    saved = session.state
    expected = session.run(xs[20:])
    session.run(xs[::-1])
    session.state = saved
    assert_close(session.run(xs[20:]), expected, "exact", f"{name} after restoring")


def test_saved_state_is_a_copy(name: str) -> None:
    session = open_session(name)
    session.run(samples(FORECAST, 5))
    saved = session.state
    kept = {key: value.copy() for key, value in saved.items()}
    session.run(samples(FORECAST, 5))
    for key, value in kept.items():
        assert_close(saved[key], value, "exact", f"{name} saved {key} after later steps")
    session.state = saved
    for value in saved.values():
        value[...] = 0.0
    for key, value in kept.items():
        assert_close(
            session.state[key], value, "exact", f"{name} {key} after the caller's copy was zeroed"
        )


@pytest.mark.parametrize("other", BACKENDS)
def test_state_moves_between_backends_through_a_file(name: str, other: str, tmp_path: Path) -> None:
    xs = with_gaps(FORECAST, 200)
    source = open_session(name)
    target = open_session(other)
    source.run(xs[:100])
    np.savez(tmp_path / "state.npz", **source.state)  # type: ignore[arg-type]
    with np.load(tmp_path / "state.npz") as file:
        target.state = file
    reference = Session(FORECAST, Reference(FORECAST, random_weights(FORECAST)))
    reference.run(xs[:100])
    assert_close(
        target.run(xs[100:]), reference.run(xs[100:]), "float32", f"{name} continued on {other}"
    )


def test_the_carried_value_is_part_of_the_state(name: str) -> None:
    session = open_session(name)
    session.step([5.0, 6.0, 7.0])
    saved = session.state
    expected = session.step([np.nan, np.nan, np.nan])
    session.step([-50.0, -60.0, -70.0])
    session.state = saved
    assert_close(session.step([np.nan] * 3), expected, "exact", "answer from the carried values")


@pytest.mark.parametrize("key", ["lstm0.h", "lstm1.c", "last"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_state_refuses_what_is_not_finite(name: str, key: str, value: float) -> None:
    refused(
        name,
        key,
        lambda array: np.where(np.arange(array.size).reshape(array.shape) == 1, value, array),
    )


@pytest.mark.parametrize("key", ["lstm0.h", "lstm1.c", "last"])
def test_state_refuses_wrong_shapes(name: str, key: str) -> None:
    refused(name, key, lambda array: array[..., :-1])
    refused(name, key, lambda array: array[None])
    refused(name, key, lambda _: np.float64(0.0))


@pytest.mark.parametrize("key", ["lstm0.h", "lstm1.c", "last"])
def test_state_refuses_text_and_ragged_lists(name: str, key: str) -> None:
    refused(name, key, lambda array: np.full(array.shape, "x"))
    refused(name, key, lambda _: [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("key", ["lstm0.h", "lstm1.c"])
def test_state_refuses_what_float32_can_not_hold(name: str, key: str) -> None:
    refused(name, key, lambda array: np.full(array.shape, 1e300))


def refused(name: str, key: str, change: Any) -> None:
    """The change to one part of the state raises, and leaves the whole state as it was."""
    session = open_session(name)
    session.run(samples(FORECAST, 3))
    before = session.state
    with pytest.raises(BackendError, match=key):
        session.state = {**before, key: change(before[key])}
    for k, value in session.state.items():
        assert_close(value, before[k], "exact", f"{name} {k} after a refused state")


@pytest.mark.parametrize(
    "value",
    [{}, {"h": 0, "c": 0}, {"h": 0, "last": 0, "more": 0}, {"h": 0, 1: 0}, None, 3, (1, 2, 3)],
)
def test_state_refuses_what_is_no_state(value: Any) -> None:
    with pytest.raises(BackendError, match="state"):
        open_session("numpy").state = value


@pytest.mark.parametrize(
    "value",
    [None, 3, (1,), {}, {"lstm0.h": np.zeros(12), 1: 0}, (np.zeros((2, 12)),) * 2, "hc"],
)
def test_a_backends_state_refuses_what_is_none(name: str, value: Any) -> None:
    with pytest.raises(BackendError, match="state"):
        open_any(name, CLASSIFY, random_weights(CLASSIFY)).state = value


BAD_SAMPLES: dict[str, Any] = {
    "too few": [1.0, 2.0],
    "too many": [1.0] * 4,
    "two-dimensional": [[1.0, 2.0, 3.0]],
    "a number": 1.0,
    "text": ["a", "b", "c"],
    "numbers as text": ["1", "2", "3"],
    "one text": [1.0, "x", 3.0],
    "None": [None, 1.0, 2.0],
    "ragged": [[1.0], 2.0, 3.0],
    "complex": [1j, 2.0, 3.0],
    "inf": [1.0, np.inf, 3.0],
    "-inf": [1.0, -np.inf, 3.0],
    "beyond float": [10**400, 1.0, 2.0],
    "bytes": np.array([b"1", b"2", b"3"]),
    "a dictionary": {"a": 1},
}


@pytest.mark.parametrize("bad", BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_a_refused_sample_leaves_the_state_whole(name: str, bad: Any) -> None:
    session = open_session(name)
    undisturbed = open_session(name)
    xs = with_gaps(FORECAST, 20)
    session.run(xs[:10])
    undisturbed.run(xs[:10])
    with pytest.raises(SampleError):
        session.step(bad)
    assert_close(
        session.run(xs[10:]), undisturbed.run(xs[10:]), "exact", f"{name} after a refused sample"
    )


@pytest.mark.parametrize("row", [0, 7, 9])
def test_a_refused_row_leaves_the_state_whole(name: str, row: int) -> None:
    session = open_session(name)
    undisturbed = open_session(name)
    xs = with_gaps(FORECAST, 20)
    session.run(xs[:10])
    undisturbed.run(xs[:10])
    bad = xs[:10].copy()
    bad[row, 1] = np.inf
    with pytest.raises(SampleError, match=rf"row {row}: channel 'ch1' is inf"):
        session.run(bad)
    assert_close(
        session.run(xs[10:]), undisturbed.run(xs[10:]), "exact", f"{name} after a refused run"
    )


@pytest.mark.parametrize(
    "bad",
    [
        [[1.0, 2.0, 3.0], [1.0]],
        [["a", "b", "c"]],
        [1.0, 2.0, 3.0],
        np.zeros((2, 4)),
        np.zeros((2, 2, 3)),
        5,
        "abc",
    ],
)
def test_run_refuses_what_is_no_recording(bad: Any) -> None:
    session = open_session("numpy")
    with pytest.raises(SampleError):
        session.run(bad)


def test_a_backend_that_fails_in_mid_run_leaves_the_state_whole() -> None:
    weights = random_weights(FORECAST)
    backend, runtime = rknn_on_ort(FORECAST, weights)
    session = Session(FORECAST, backend)
    undisturbed = open_session("rknn-adapter")
    xs = with_gaps(FORECAST, 20)
    session.run(xs[:10])
    undisturbed.run(xs[:10])
    runtime.fail_at = runtime.calls + 6
    with pytest.raises(BackendError, match="no result"):
        session.run(xs[10:])
    assert_close(
        session.run(xs[10:]), undisturbed.run(xs[10:]), "exact", "answers after a failed run"
    )


def test_drift_over_10_000_steps() -> None:
    spec = make_spec(channels=6, hidden=32, layers=2)
    weights = random_weights(spec)
    xs = samples(spec, 10_000)
    expected = Session(spec, Reference(spec, weights)).run(xs)
    for name in ("numpy", "onnx-fused", "onnx-cell"):
        answers = Session(spec, open_any(name, spec, weights)).run(xs)
        assert_close(
            answers[-1000:], expected[-1000:], "float32", f"{name}, last 1,000 of 10,000 steps"
        )
        early, late = (
            np.abs(answers - expected)[part].max() for part in (slice(0, 1000), slice(-1000, None))
        )
        assert late <= max(3 * early, TOLERANCES["float32"].absolute / 10), (
            f"{name}: the error grows from {early:.1e} to {late:.1e}"
        )


def test_the_session_closes_its_backend_once_or_twice() -> None:
    backend, runtime = rknn_on_ort(CLASSIFY, random_weights(CLASSIFY))
    with Session(CLASSIFY, backend) as session:
        session.step([1.0, 2.0, 3.0])
    session.close()
    assert runtime.released == 1
    with pytest.raises(BackendError, match="closed"):
        session.step([1.0, 2.0, 3.0])


def test_the_backend_is_closed_when_the_block_raises() -> None:
    backend, runtime = rknn_on_ort(CLASSIFY, random_weights(CLASSIFY))
    with pytest.raises(SampleError), Session(CLASSIFY, backend) as session:
        session.step([1.0])
    assert runtime.released == 1


def test_the_caller_may_reuse_his_sample(name: str) -> None:
    session = open_session(name)
    other = open_session(name)
    x = np.zeros(3)
    reused = []
    for row in samples(FORECAST, 10):
        x[:] = row
        reused.append(session.step(x))
        x[:] = np.nan
    assert_close(np.stack(reused), other.run(samples(FORECAST, 10)), "exact", name)


def test_model_features_and_spec(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "m.edge", make_spec(missing="mask"))
    model = Model(bundle)
    assert model.spec is bundle.spec
    assert model.manifest is bundle.manifest
    assert model.features([[np.nan, 0.0, 0.0]]).shape == (1, 6)
