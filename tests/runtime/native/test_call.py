"""`Session.step` in C is `Session.step` in Python: equal answers, equal errors, for any object."""

from __future__ import annotations

import array
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import edge_lstm_runtime as rt
from edge_lstm_runtime import native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyBackend
from helpers.arrays import Array
from helpers.specs import make_spec, samples
from helpers.weights import random_weights

pytestmark = pytest.mark.skipif(not native.LIBRARY.exists(), reason="the library is not built")
# float32 rounds at 6e-8, features and answers once more than in the kernel.
LIMIT = 2e-6
GOOD = [0.5, -1.25, 2.0]
SPEC = make_spec()


def session_of(
    spec: rt.ModelSpec, streams: int | None = None, precision: str = "float32"
) -> rt.Session:
    backend = NativeBackend(spec, random_weights(spec), precision, streams=streams)
    return rt.Session(spec, backend, streams)


def in_python(session: rt.Session) -> Callable[..., Any]:
    """The method of the class, which the function in C takes the place of."""
    return lambda *args, **named: rt.Session.step(session, *args, **named)


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "answer", call().tolist()
    except Exception as e:
        return type(e).__name__, str(e)


class Plain(NativeBackend):
    """Without the kernel's own processing: NumPy normalizes, and scales back."""

    def stepper(self, *_: Any) -> None:
        return None

    def answerer(self, *_: Any) -> None:
        return None

    def rows_answerer(self, *_: Any) -> None:
        return None


def some_spec(rng: np.random.Generator) -> rt.ModelSpec:
    task = str(rng.choice(["classify", "forecast"]))
    return make_spec(
        task=task,
        channels=int(rng.integers(1, 10)),
        hidden=int(rng.integers(1, 20)),
        layers=int(rng.integers(1, 3)),
        outputs=int(rng.integers(2, 5)),
        missing=str(rng.choice(["refuse", "ffill", "mask"])),  # type: ignore[arg-type]
        residual=task == "forecast" and bool(rng.integers(2)),
    )


def kinds(x: Array) -> list[Any]:
    """The same numbers in other objects, of which C knows some."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1))
    wide[..., 1::2] = x
    locked = x.copy()
    locked.flags.writeable = False
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(x.shape)
    shifted[...] = x
    return [
        *(x.tolist(), tuple(x.tolist()), list(x), x.copy(), locked, shifted),
        *(wide[..., 1::2], x[::-1].copy()[::-1], np.asfortranarray(x), x.astype(">f8")),
        *(x.astype(np.longdouble), x.astype(object).tolist(), memoryview(x), np.ma.array(x)),
        *([array.array("d", x)] if x.ndim == 1 else []),
    ]


@pytest.mark.parametrize("streams", [None, 1, 3])
@pytest.mark.parametrize("seed", range(12))
def test_the_fast_way_is_the_slow_way(seed: int, streams: int | None) -> None:
    """To the bit: every kind of object, with `out`, in `run` and in `steps`. NumPy's: nearly."""
    rng = np.random.default_rng(seed)
    spec = some_spec(rng)
    precision = "int8" if seed % 4 == 3 else "float32"
    xs = samples(spec, 20, seed)
    if streams is not None:
        xs = np.stack([xs + k for k in range(streams)], axis=1)
    if spec.inputs.fills_gaps:
        xs[rng.random(xs.shape) < 0.2] = np.nan
    slow, fast, plain, rows = (session_of(spec, streams, precision) for _ in range(4))
    expected = np.stack([in_python(slow)(x) for x in xs])
    for k, x in enumerate(xs):
        before = fast.state
        for kind in kinds(x):
            fast.state = before
            np.testing.assert_array_equal(fast.step(kind), expected[k], strict=True)
            fast.state = before
            out = np.full(expected[k].shape, np.nan, np.float32)
            assert fast.step(kind, out=out) is out
            np.testing.assert_array_equal(out, expected[k])
    np.testing.assert_array_equal(plain.run(xs), expected, strict=True)
    np.testing.assert_array_equal(rows.steps(xs), expected, strict=True)
    for name, value in slow.state.items():
        for other in (fast, plain, rows):
            np.testing.assert_array_equal(other.state[name], value, err_msg=name)
    if precision == "float32":
        backend = Plain(spec, random_weights(spec), streams=streams)
        numpy = rt.Session(spec, backend, streams).run(xs)
        assert np.abs(numpy - expected).max() <= LIMIT * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "u2", "i4", "i8", "u8", "?", ">i4", ">f4"])
def test_other_types_of_arrays(dtype: str) -> None:
    slow, fast = session_of(SPEC), session_of(SPEC)
    for x in ([1, 0, 1], [0, 1, 1]):
        given = np.array(x, dtype)
        for kind in (given, given.tolist(), list(given), tuple(given), given.view(np.recarray)):
            expected = in_python(slow)([float(v) for v in x])
            np.testing.assert_array_equal(fast.step(kind), expected, strict=True)


@pytest.mark.parametrize(
    "x",
    [
        [1, 2.5, 2**62 + 1], [2**63, 1, 2.0], [-(2**63), 2**64 - 1, 0], [10**25, 1.0, 2.0],
        [True, 1, 2.0], [np.float32(0.1), 1.0, 2], (np.int8(1), True, 0.5), [False, True, False],
        range(3), [np.array(1.0), 2, 3], [5e-324, -0.0, 1e30], type("Sub", (float,), {})(1.0),
        [type("Sub", (float,), {})(1.0), 2, 3], type("List", (list,), {})(GOOD),
    ],
)  # fmt: skip
def test_numbers_of_python(x: Any) -> None:
    """As NumPy takes them, if it takes them."""
    slow, fast = session_of(SPEC), session_of(SPEC)
    assert outcome(lambda: fast.step(x)) == outcome(lambda: in_python(slow)(x))
    for name, value in slow.state.items():
        np.testing.assert_array_equal(fast.state[name], value)


WRONG: list[tuple[Any, str]] = [
    ([1.0, 2.0], r"sample has shape \(2,\), expected \(3,\)"),
    ((1.0, 2.0, 3.0, 4.0), r"sample has shape \(4,\), expected \(3,\)"),
    ([], r"sample has shape \(0,\)"),
    ([GOOD], r"sample has shape \(1, 3\)"),
    (np.ones((3, 1)), r"sample has shape \(3, 1\)"),
    (np.array(1.0), r"sample has shape \(\)"),
    (np.float64(1.0), r"sample has shape \(\)"),
    (3, r"sample has shape \(\)"),
    (True, r"sample has shape \(\)"),
    (float("nan"), r"sample has shape \(\)"),
    (None, "sample "),
    ([1.0, None, 2.0], "is not numeric; expected 3 numbers"),
    ([1.0, [2.0], 3.0], "sample "),
    ([[1.0], [2.0, 3.0], []], "sample "),
    (["1", "2", "3"], "sample "),
    ("abc", "sample "),
    (b"12345678" * 3, "sample "),
    ([2**100, 1, 2], "is not numeric; expected 3 numbers"),
    ([1j, 2, 3], "is not numeric; expected 3 numbers"),
    (np.ones(3, "M8[s]"), "is not numeric; expected 3 numbers"),
    (np.ones(3, object), "is not numeric; expected 3 numbers"),
    (np.zeros(3, [("a", "f8")]), "sample "),
    ({1.0, 2.0, 3.0}, "sample "),
    ({"a": 1}, "sample "),
    ((x for x in GOOD), "sample "),
    (object(), "sample "),
    (memoryview(b"abcd"), r"sample has shape \(4,\)"),
    (array.array("d", [1.0]), r"sample has shape \(1,\)"),
    ([1.0, float("nan"), 2.0], "ch1"),
    ([1.0, float("inf"), 2.0], "ch1"),
    (np.array([1e308, 0, 0]), "ch0"),
    (np.array([0, np.nan, 0], np.float32), "ch1"),
]


@pytest.mark.parametrize(("x", "said"), WRONG)
def test_what_is_no_sample(x: Any, said: str) -> None:
    """One line each, with and without `out`. Nothing changes."""
    session = session_of(SPEC)
    session.step(GOOD)
    before = session.state
    out = np.full(4, 7, np.float32)
    for call in (lambda: session.step(x), lambda: session.step(x, out=out)):
        with pytest.raises(rt.SampleError, match=said) as error:
            call()
        assert "\n" not in str(error.value)
    assert (out == 7).all()
    for name, value in session.state.items():
        np.testing.assert_array_equal(value, before[name])


def read_only() -> Array:
    found = np.zeros(4, np.float32)
    found.flags.writeable = False
    return found


@pytest.mark.parametrize("name", ["native", "numpy"])
@pytest.mark.parametrize(
    ("out", "said"),
    [
        (np.zeros(4), r"out is float64\(4,\); expected a writable array, float32\(4,\)"),
        (np.zeros(3, np.float32), r"out is float32\(3,\); expected"),
        (np.zeros((1, 4), np.float32), r"out is float32\(1, 4\); expected"),
        (np.zeros((), np.float32), r"out is float32\(\); expected"),
        (np.zeros(4, ">f4"), r"out is >f4\(4,\); expected"),
        (np.zeros(4, np.int32), r"out is int32\(4,\); expected"),
        (np.zeros(4, object), r"out is object\(4,\); expected"),
        (read_only(), r"out is float32\(4,\), which is read-only; expected"),
        ([0.0] * 4, "out is of type list; expected"),
        (bytearray(16), "out is of type bytearray; expected"),
        (memoryview(bytearray(16)), "out is of type memoryview; expected"),
        (True, "out is of type bool; expected"),
    ],
)
def test_what_takes_no_answer(name: str, out: Any, said: str) -> None:
    backend = {"native": NativeBackend, "numpy": NumpyBackend}[name]
    session = rt.Session(SPEC, backend(SPEC, random_weights(SPEC)))
    before = session.state
    with pytest.raises(rt.ConfigError, match=f"^{said}") as error:
        session.step(GOOD, out=out)
    assert "\n" not in str(error.value)
    with pytest.raises(rt.ConfigError, match=r"^out is "):
        session.run([GOOD] * 2, out=out)
    for key, value in session.state.items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("name", ["native", "numpy"])
def test_an_out_of_any_memory_layout(name: str) -> None:
    """Strides, a subclass, memory that is the sample's too, and rows of a table."""
    backend = {"native": NativeBackend, "numpy": NumpyBackend}[name]
    first, second = (rt.Session(SPEC, backend(SPEC, random_weights(SPEC))) for _ in range(2))
    shared = np.zeros(4, np.float32)
    shared[:3] = GOOD
    wide = np.zeros((4, 2), np.float32)
    rows = np.zeros((5, 4), np.float32)
    turned = np.zeros(4, np.float32)[::-1]
    expected = [first.step(GOOD) for _ in range(5)]
    assert second.step(shared[:3], out=shared) is shared
    np.testing.assert_array_equal(shared, expected[0])
    np.testing.assert_array_equal(second.step(GOOD, out=wide[:, 1]), expected[1])
    np.testing.assert_array_equal(second.step(GOOD, out=turned), expected[2])
    np.testing.assert_array_equal(second.step(GOOD, out=rows[3]), expected[3])
    with_mask = np.ma.zeros(4, np.float32)
    np.testing.assert_array_equal(second.step(GOOD, out=with_mask), expected[4])
    assert not rows[:3].any()
    assert not wide[:, 0].any()
    second.reset()
    assert second.run([GOOD] * 5, out=rows) is rows
    np.testing.assert_array_equal(rows, expected)
    assert second.run(np.empty((0, 3)), out=rows[:0]).shape == (0, 4)


def test_how_it_is_called() -> None:
    """By name too, and wrong calls are Python's own errors."""
    session = session_of(SPEC)
    twin = session_of(SPEC)
    expected = twin.step(GOOD)
    np.testing.assert_array_equal(session.step(x=GOOD), expected)
    out = np.zeros(4, np.float32)
    assert session.step(out=out, x=GOOD) is out
    np.testing.assert_array_equal(out, twin.step(GOOD, out=None))
    wrong: list[Callable[..., Any]] = [
        lambda step: step(), lambda step: step(GOOD, out), lambda step: step(GOOD, into=out),
        lambda step: step(GOOD, x=GOOD), lambda step: step(GOOD, out=out, more=1),
        lambda step: step(out=out),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises(TypeError) as here:
            call(session.step)
        with pytest.raises(TypeError) as there:
            call(in_python(twin))
        assert str(here.value) == str(there.value)


leaves = st.one_of(
    st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.none(), st.text(max_size=2),
    st.binary(max_size=2), st.complex_numbers(), st.floats(width=32).map(np.float32),
)  # fmt: skip
numbers = st.one_of(st.floats(-1e31, 1e31), st.floats(), st.integers(-5, 5))
objects = st.one_of(
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(leaves, max_size=5),
    st.lists(numbers, min_size=3, max_size=3).map(tuple),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=4)),
    hnp.arrays(
        st.one_of(hnp.floating_dtypes(endianness="?"), hnp.integer_dtypes(), hnp.boolean_dtypes()),
        hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4),
    ),
    hnp.arrays(st.sampled_from(["f4", "f8"]), 3),
)


@given(x=objects, missing=st.sampled_from(["refuse", "ffill", "mask"]))
@settings(max_examples=400, deadline=None)
def test_any_object(x: Any, missing: Any) -> None:
    """The same answer or the same error, and the same state afterwards."""
    spec = make_spec(missing=missing, task="forecast", residual=True, outputs=2)
    slow, fast = session_of(spec), session_of(spec)
    with np.errstate(all="ignore"):
        assert outcome(lambda: fast.step(x)) == outcome(lambda: in_python(slow)(x))
    for name, value in slow.state.items():
        np.testing.assert_array_equal(fast.state[name], value)


def test_a_session_is_collected() -> None:
    """Although it holds the function that holds it."""
    session = session_of(SPEC)
    backend = weakref.ref(session.backend)
    found = weakref.ref(session)
    step = session.step
    del session
    gc.collect()
    assert found() is not None  # by the function
    np.testing.assert_array_equal(step(GOOD), session_of(SPEC).step(GOOD))
    del step
    gc.collect()
    assert found() is None
    assert backend() is None


def resident() -> int:
    """Bytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("times", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_references_and_memory(times: int) -> None:
    """No object is kept or lost, in answers, errors and what C passes on."""
    session = session_of(SPEC)
    x = np.array(GOOD)
    narrow = x.astype(np.float32)
    listed = [0.1, 2, 0.3]
    out = np.zeros(4, np.float32)
    wrong = [0.1, 0.2]
    strange = x.astype(">f8")
    held = (x, narrow, listed, out, wrong, strange, None, x.dtype, out.dtype, session, out.base)

    def use(count: int) -> None:
        step = session.step
        for _ in range(count):
            step(x)
            step(narrow)
            step(listed)
            step(x, out=out)
            step(narrow, out=None)
        for _ in range(count // 100):
            step(strange, out=out)
            step(x=x)
            for call in (lambda: step(wrong), lambda: step(x, out=wrong), lambda: step()):
                with pytest.raises((rt.SampleError, rt.ConfigError, TypeError)):
                    call()

    use(2000)
    gc.collect()
    counts = [sys.getrefcount(o) for o in held]
    before = resident()
    use(times // 5)
    gc.collect()
    after = [sys.getrefcount(o) for o in held]
    # None's count moves by a few with the interpreter's own work.
    assert max(abs(a - b) for a, b in zip(after, counts, strict=True)) < 50
    assert after[:6] == counts[:6]
    assert resident() - before < 2_000_000


def test_nets_are_freed() -> None:
    spec = make_spec(hidden=128)  # 270 kB each
    weights = random_weights(spec)
    session_of(spec)
    gc.collect()
    before = resident()
    for _ in range(40):
        for _ in range(3):
            rt.Session(spec, NativeBackend(spec, weights)).step(GOOD)
        gc.collect()
    assert resident() - before < 6_000_000  # of 32 MB


def test_threads_that_step_and_are_refused() -> None:
    """While one thread streams, others that try get the error, and the answers stay right."""
    session, alone = session_of(SPEC), session_of(SPEC)
    xs = samples(SPEC, 3000)
    expected = [alone.step(x) for x in xs]
    session.step(xs[0])
    session.reset()
    done = threading.Event()
    refused: list[int] = []

    def intrude() -> None:
        out = np.full(4, 7, np.float32)
        count = 0
        while not done.is_set():
            with pytest.raises(rt.BackendError, match="is used by the thread"):
                session.step(GOOD, out=out)
            count += 1
        assert (out == 7).all()
        refused.append(count)

    threads = [threading.Thread(target=intrude) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        found = [session.step(x) for x in xs]
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(found, expected)
    assert len(refused) == 2
    assert sum(refused) > 0
