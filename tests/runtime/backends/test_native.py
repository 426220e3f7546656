"""Every C kernel of this CPU, from Python, against the float64 reference, PyTorch and integers."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.errors import BackendError
from edge_lstm_runtime.layers.ops import NUMPY
from helpers.arrays import Array
from helpers.bundles import make_bundle
from helpers.specs import make_spec, samples
from helpers.weights import random_weights

BUILT = native.LIBRARY.exists()
KERNELS = native.kernels() if BUILT else ()
built = pytest.mark.skipif(not BUILT, reason=f"{native.LIBRARY.name} is not built")
every_kernel = pytest.mark.parametrize("kernel", KERNELS or [pytest.param("none", marks=built)])
# float32 rounds at 6e-8. Sums of some hundred terms are carried through a contracting recurrence.
FLOAT_LIMIT = 2e-6


def farthest(actual: Array, expected: Array) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual.astype(np.float64) - expected).max())


def assert_states_equal(actual: Any, expected: Any) -> None:
    assert list(actual) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


def features_of(spec: rt.ModelSpec, steps: int, *streams: int, seed: int = 3) -> Array:
    return (
        np.random.default_rng(seed)
        .normal(size=(steps, *streams, spec.feature_size))
        .astype(np.float32)
    )


@pytest.fixture(scope="module")
def long_run() -> tuple[rt.ModelSpec, Any, Array, Array]:
    """10,000 steps of the reference."""
    spec = make_spec(channels=5, hidden=37, layers=2, outputs=3)
    weights = random_weights(spec)
    x = features_of(spec, 10_000)
    return spec, weights, x, rt.Reference(spec, weights).run(x)


@every_kernel
def test_float32_over_10000_steps(long_run, kernel):
    spec, weights, x, expected = long_run
    backend = NativeBackend(spec, weights, kernel=kernel)
    assert farthest(backend.run(x), expected) <= FLOAT_LIMIT
    stepped = NativeBackend(spec, weights, kernel=kernel)
    np.testing.assert_array_equal(
        [stepped.step(row) for row in x[:200]],
        NativeBackend(spec, weights, kernel=kernel).run(x[:200]),
    )


@every_kernel
def test_float32_against_pytorch(kernel):
    import torch

    spec = make_spec(channels=4, hidden=24, layers=3, outputs=2)
    weights = random_weights(spec)
    lstm = torch.nn.LSTM(spec.feature_size, 24, 3, dtype=torch.float64)
    with torch.no_grad():
        # PyTorch's gates stand in the canonical order i, f, g, o. It has two biases.
        for k in range(3):
            for name, value in (("weight_ih", "W_x"), ("weight_hh", "W_h"), ("bias_ih", "b")):
                getattr(lstm, f"{name}_l{k}").copy_(
                    torch.from_numpy(weights[f"lstm{k}.{value}"].T.astype(np.float64))
                )
            getattr(lstm, f"bias_hh_l{k}").zero_()
        x = features_of(spec, 1000)
        h, (h_n, c_n) = lstm(torch.from_numpy(x).double())
    backend = NativeBackend(spec, weights, kernel=kernel)
    expected = h.numpy() @ weights["head.W"].astype(np.float64) + weights["head.b"]
    assert farthest(backend.run(x), expected) <= FLOAT_LIMIT
    for k in range(3):
        assert farthest(backend.state[f"lstm{k}.h"], h_n[k].numpy()) <= FLOAT_LIMIT
        assert farthest(backend.state[f"lstm{k}.c"], c_n[k].numpy()) <= FLOAT_LIMIT


def int8_product(v: Array, W: Array, step: Array) -> Array:
    """v (N,), rounded to 127 steps of its largest, times W (N, 4H), whole numbers.

    The sums are exact, and then times both scales.
    """
    largest = np.abs(v).max()
    if largest <= 1e-30:
        return np.zeros(W.shape[1])
    q = np.rint(v.astype(np.float64) * float(np.float32(127) / largest)).astype(np.int64)
    return (q @ W.astype(np.int64)) * (float(largest / np.float32(127)) * step.astype(np.float64))


@every_kernel
@pytest.mark.parametrize("with_steps", [False, True])
def test_int8_against_integers(kernel, with_steps):
    """Each step from the kernel's own state, and each layer from its own h below.

    So a rounding to the other neighbour is not carried on.
    """
    spec = make_spec(channels=6, hidden=21, layers=2, outputs=3)
    weights = random_weights(spec)
    whole = {}
    steps = {}
    for k in range(2):
        for part in "xh":
            W = weights[f"lstm{k}.W_{part}"]
            steps[k, part] = (
                np.abs(W).max(axis=0) / np.float32(127) * np.float32(1.1 if with_steps else 1)
            )
            whole[k, part] = np.rint(W / steps[k, part])
            weights[f"lstm{k}.W_{part}"] = whole[k, part].astype(np.float32) * steps[k, part]
    grid = (
        np.concatenate([steps[k, part] for k in range(2) for part in "xh"]) if with_steps else None
    )
    backend = NativeBackend(spec, weights, "int8", kernel=kernel, steps=grid)
    worst = []
    for x in features_of(spec, 200):
        before = backend.state
        y = backend.step(x)
        after = backend.state
        below = x
        for k in range(2):
            a = (
                weights[f"lstm{k}.b"]
                + int8_product(below, whole[k, "x"], steps[k, "x"])
                + int8_product(before[f"lstm{k}.h"], whole[k, "h"], steps[k, "h"])
            )
            i, f, g, o = np.split(a, 4)
            h1 = after[f"lstm{k}.h"]
            c = NUMPY.sigmoid(f) * before[f"lstm{k}.c"] + NUMPY.sigmoid(i) * np.tanh(g)
            worst.append(
                max(farthest(after[f"lstm{k}.c"], c), farthest(h1, NUMPY.sigmoid(o) * np.tanh(c)))
            )
            below = h1
        assert (
            farthest(y, below.astype(np.float64) @ weights["head.W"] + weights["head.b"])
            <= FLOAT_LIMIT
        )
    # The exception: float32 and float64 round a value apart if it is very near the middle between
    # two whole numbers.
    assert np.mean(np.array(worst) > 5e-6) < 0.01
    assert max(worst) < 0.01


@every_kernel
def test_int8_is_near_float32(long_run, kernel):
    """Its rounding is that of int8 and no more: NRMSE of a random net.

    docs/int8.md has that of trained ones.
    """
    spec, weights, x, expected = long_run
    actual = NativeBackend(spec, weights, "int8", kernel=kernel).run(x[:1000])
    assert np.sqrt(np.mean((actual - expected[:1000]) ** 2)) / expected[:1000].std() < 0.03


@built
@pytest.mark.parametrize("precision", native.PRECISIONS)
@pytest.mark.parametrize("streams", [1, 2, 5])
def test_streams_are_as_alone(precision, streams):
    spec = make_spec(hidden=19, layers=2)
    weights = random_weights(spec)
    x = features_of(spec, 60, streams)
    together = NativeBackend(spec, weights, precision, streams=streams)
    alone = [NativeBackend(spec, weights, precision) for _ in range(streams)]
    # the gates' rounding differs, so that int8 may take the other neighbour
    limit = 0.01 if precision == "int8" else FLOAT_LIMIT
    assert (
        farthest(
            together.run(x[:30]),
            np.stack([b.run(x[:30, s]) for s, b in enumerate(alone)], axis=1).astype(np.float64),
        )
        <= limit
    )
    together.reset_streams([streams - 1])
    alone[-1].reset()
    assert list(together.state) == ["lstm0.h", "lstm0.c", "lstm1.h", "lstm1.c"]
    for part in together.state.values():
        assert part.shape == (streams, 19)
        assert not part[-1].any()
        assert all(part[s].any() for s in range(streams - 1))
    assert (
        farthest(
            np.stack([together.step(row) for row in x[30:]]),
            np.stack([b.run(x[30:, s]) for s, b in enumerate(alone)], axis=1),
        )
        <= limit
    )
    for wrong in (streams, -1, 2**32, 2**32 + 1):
        with pytest.raises(BackendError):
            together.reset_streams([0, wrong])
    for layer in ("lstm0", "lstm1"):
        assert together.state[f"{layer}.h"].all()  # none of them was one


@built
def test_state_is_carried_over():
    spec = make_spec(hidden=11, layers=2)
    first, second = (NativeBackend(spec, random_weights(spec)) for _ in range(2))
    x = features_of(spec, 40)
    first.run(x[:20])
    second.state = first.state
    np.testing.assert_array_equal(first.run(x[20:]), second.run(x[20:]))
    before = first.state
    h = before["lstm1.h"]
    for wrong in (
        h[:1],
        h[None],
        h.astype(np.int64),
        np.where(h > 0, np.nan, h),
        np.where(h > 0, np.float64(1e300), h),
    ):
        with pytest.raises(BackendError):
            first.state = {**before, "lstm1.h": wrong}
    with pytest.raises(BackendError, match="expected arrays named"):
        first.state = {name: before[name] for name in ("lstm0.h", "lstm0.c")}
    assert_states_equal(first.state, before)
    first.reset()
    assert not any(part.any() for part in first.state.values())


@built
@pytest.mark.parametrize("streams", [None, 3])
def test_features_of_other_kinds(streams):
    """float64, whole numbers and strides are taken as the values they are.

    Other shapes and values are refused, and nothing changes.
    """
    spec = make_spec(channels=3)
    batch = () if streams is None else (streams,)
    weights = random_weights(spec)
    backend, other = (NativeBackend(spec, weights, streams=streams) for _ in range(2))
    wide = np.random.default_rng(0).integers(-3, 3, (*batch, 6)).astype(np.float32)
    x = wide[..., ::2]
    expected = other.step(np.ascontiguousarray(x))
    for kind in (
        x,
        x.astype(np.float64),
        x.astype(np.int64),
        x.astype(">f4"),
        np.asfortranarray(x),
    ):
        backend.reset()
        np.testing.assert_array_equal(backend.step(kind), expected)
    before = backend.state
    good = np.ones((*batch, 3), np.float32)
    wrong_shapes = [
        good[..., :2],
        good[None],
        np.ones((*batch, 4), np.float32),
        good.ravel()[:, None],
        np.float32(1),
        np.zeros((0,), np.float32),
    ]
    for wrong in (
        *wrong_shapes,
        good * np.float32(np.nan),
        good * np.inf,
        np.full(good.shape, 1e300),
    ):
        with pytest.raises(BackendError):
            backend.step(wrong)
    for wrong in (good[0], np.stack([good * np.nan, good]), np.stack([good, good])[..., :2]):
        with pytest.raises(BackendError):
            backend.run(wrong)
    assert_states_equal(backend.state, before)
    if streams is not None:
        with pytest.raises(BackendError, match="shape"):
            backend.step(np.ones((1, 9), np.float32))  # as many values in another shape
    assert backend.run(np.empty((0, *batch, 3), np.float32)).shape == (0, *batch, 4)


@built
def test_sessions_do_not_touch_each_other():
    """Two on one thread in turns, and eight on threads of their own, give what each gives alone."""
    spec = make_spec(hidden=32, layers=2)
    weights = random_weights(spec)
    xs = [features_of(spec, 300, seed=s) for s in range(8)]
    expected = [NativeBackend(spec, weights).run(x) for x in xs]
    a = NativeBackend(spec, weights)
    b = NativeBackend(spec, weights)
    turns = [(a.step(p), b.step(q)) for p, q in zip(xs[0], xs[1], strict=True)]
    np.testing.assert_array_equal([y for y, _ in turns], expected[0])
    np.testing.assert_array_equal([y for _, y in turns], expected[1])
    results: dict[int, list[Array]] = {}
    start = threading.Barrier(8)

    def work(k: int) -> None:
        backend = NativeBackend(spec, weights)
        start.wait()
        stepped = np.stack([backend.step(row) for row in xs[k]])
        backend.reset()
        results[k] = [stepped, backend.run(xs[k])]  # which lets the other threads run meanwhile

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        for y in results[k]:
            np.testing.assert_array_equal(y, expected[k])


@built
@pytest.mark.parametrize("streams", [None, 3])
def test_steps_with_and_without_pythons_lock_are_the_same(streams, monkeypatch):
    spec = make_spec(task="forecast", missing="ffill", residual=True)
    weights = random_weights(spec)
    xs = samples(spec, 50)
    xs[::7, 1] = np.nan
    rows = xs if streams is None else np.stack([xs, xs[::-1], xs + 1], axis=1)
    found = {}
    for short in (0, 10**9):
        monkeypatch.setattr(native, "SHORT", short)
        backend = NativeBackend(spec, weights, streams=streams)
        session = rt.Session(spec, backend, streams)
        answers = [session.step(x) for x in rows]
        features = features_of(spec, 1, *([] if streams is None else [streams]))[0]
        found[short] = np.stack(answers), backend.step(features), session.state
    for one, other in zip(found[0][:2], found[10**9][:2], strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    assert_states_equal(found[0][2], found[10**9][2])


@built
@pytest.mark.parametrize(
    ("hidden", "others_run"), [(64, False), (512, True)], ids=["41,000 MACs", "3,000,000 MACs"]
)
def test_a_long_step_lets_other_threads_run(hidden, others_run):
    spec = make_spec(hidden=hidden, layers=2 if others_run else 1)
    assert (spec.network.macs_per_step > 100_000) == others_run
    backend = NativeBackend(spec, random_weights(spec))
    answer = backend.answerer(spec, np.zeros(3))
    features = features_of(spec, 1)[0]
    xs = samples(spec, 1)
    counts = [0]
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            counts[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)  # seconds: another thread runs only if the lock is released
    other = threading.Thread(target=count)
    try:
        other.start()
        for call, argument in ((backend.step, features), (answer, xs[0])):
            before = counts[0]
            for _ in range(1000):
                call(argument)
                if counts[0] > before:
                    break
            assert (counts[0] > before) == others_run
    finally:
        sys.setswitchinterval(interval)
        done.set()
        other.join()


@built
def test_outputs_are_kept():
    """What a step gave stays what it was after the next one."""
    spec = make_spec()
    backend = NativeBackend(spec, random_weights(spec))
    x = features_of(spec, 2)
    first = backend.step(x[0])
    kept = first.copy()
    backend.step(x[1])
    np.testing.assert_array_equal(first, kept)


@built
@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
@pytest.mark.parametrize("task", ["classify", "forecast"])
def test_sessions_process_as_the_reference(tmp_path, missing, task):
    """Raw samples with gaps, normalized and scaled back in C: as in Python, in float64."""
    spec = make_spec(task=task, missing=missing, residual=task == "forecast", outputs=2, layers=2)
    bundle = make_bundle(tmp_path / "m.edge", spec)
    xs = samples(spec, 300)
    if missing != "refuse":
        xs[np.random.default_rng(2).random(xs.shape) < 0.3] = np.nan
    model = rt.Model(bundle)
    with model.session("native") as session, model.session("reference") as reference:
        expected = reference.run(xs)
        limit = FLOAT_LIMIT * max(1.0, np.abs(expected).max())
        assert farthest(np.stack([session.step(x) for x in xs]), expected) <= limit
        np.testing.assert_array_equal(session.state["last"], reference.state["last"])
        before = session.state
        for wrong in ([np.inf, 0, 0], [1e308, 0, 0], [0, 0], [[0, 0, 0]], ["a", "b", "c"]):
            with pytest.raises(rt.SampleError):
                session.step(wrong)
        for name, value in session.state.items():
            np.testing.assert_array_equal(value, before[name])
