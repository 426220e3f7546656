"""Calls the extension with random objects: answers and errors as Python's way gives them, no crash.

python tests/helpers/fuzz_call.py SECONDS SEED

`fuzz_call` of fuzzers.py runs it with an extension that has sanitizers.
"""

from __future__ import annotations

import array
import random
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import edge_lstm_runtime as rt
from edge_lstm_runtime import native
from edge_lstm_runtime.backends.native import NativeBackend
from helpers.specs import make_spec
from helpers.weights import random_weights

EXPECTED = (rt.EdgeLstmError, TypeError, ValueError, OverflowError)
STREAMS = (None, 1, 3)


def number(rng: random.Random) -> Any:
    return rng.choice(
        [
            *(rng.gauss(0, 2), rng.gauss(0, 1e20), 0.0, -0.0, 1e308, 5e-324, np.nan, np.inf),
            *(rng.randrange(-9, 9), 2**63, -(2**63), 2**64, 10**30, True, None, "1", 1j),
            *(np.float32(0.1), np.float64(0.2), np.int8(3), np.float16(1), np.array(1.0), [], b""),
        ]
    )


def numpy_array(rng: random.Random) -> Any:
    shape = tuple(rng.choice([0, 1, 2, 3, 3, 3, 4]) for _ in range(rng.choice([0, 1, 1, 2, 2, 3])))
    dtype = rng.choice(
        ["f4", "f8", "f4", "f8", ">f4", ">f8", "f2", "g", "i4", "u8", "?", "O", "c8"]
    )
    made = np.zeros(tuple(2 * n + 1 for n in shape), dtype)
    made[...] = rng.choice([0, 1, 0.5])
    step = rng.choice([1, 1, 2, -1])
    found = made[(..., *(slice(None, None, step) for _ in shape))]
    found = found[(..., *(slice(n) for n in shape))]
    if rng.random() < 0.5:
        found = found.copy(order=rng.choice("CF"))
    found = found.view(np.ndarray) if rng.random() < 0.9 else np.ma.array(found)
    if rng.random() < 0.2:
        found.flags.writeable = False
    return found


def thing(rng: random.Random) -> Any:
    kind = rng.randrange(9)
    if kind < 3:
        good = rng.random() < 0.5
        return [
            rng.gauss(0, 1) if good else number(rng) for _ in range(rng.choice([0, 2, 3, 3, 4]))
        ]
    if kind < 6:
        return numpy_array(rng)
    if kind == 6:
        return tuple(thing(rng) for _ in range(rng.randrange(4)))
    if kind == 7:
        return rng.choice(
            [array.array("d", [1, 2, 3]), bytes(24), bytearray(12), memoryview(b"abc")]
        )
    return number(rng)


def outcome(call: Any) -> tuple[str, Any]:
    try:
        return "answer", repr(np.asarray(call()).tolist())
    except EXPECTED as e:
        return type(e).__name__, str(e)


def sessions(rng: random.Random) -> None:
    """Two that get the same: the one in C, the other in Python."""
    streams = rng.choice(STREAMS)
    missing: Any = rng.choice(["refuse", "ffill", "mask"])
    task = rng.choice(["classify", "forecast"])
    residual = task == "forecast" and rng.random() < 0.5
    spec = make_spec(task=task, missing=missing, residual=residual, hidden=rng.randrange(1, 20))
    weights = random_weights(spec)
    backends = [NativeBackend(spec, weights, streams=streams) for _ in range(2)]
    fast, slow = (rt.Session(spec, backend, streams) for backend in backends)
    size = spec.answer.size
    shape = (size,) if streams is None else (streams, size)
    for _ in range(30):
        x = thing(rng)
        if rng.random() < 0.3:
            good = np.random.default_rng(rng.randrange(99)).normal(size=(*shape[:-1], 3))
            x = rng.choice([good, good.tolist(), good.astype("f4")])
        out = rng.choice([None, np.zeros(shape, "f4"), np.zeros(shape, "f4"), thing(rng)])
        named = {} if out is None else {"out": out}
        found = outcome(lambda x=x, n=named: fast.step(x, **n))
        assert found == outcome(lambda x=x, n=named: rt.Session.step(slow, x, **n)), (x, out)
        outcome(lambda x=x: fast.backend.step(x))
        slow.state = fast.state


def arguments(rng: random.Random) -> None:
    """Arguments that no caller gives."""
    library = native.library()
    rows = [[rng.randrange(13), rng.randrange(9), rng.randrange(3), 1, rng.randrange(3), 0, 0, 0]]
    layers = np.array(rows * rng.randrange(3), np.uint32).tobytes() + bytes(rng.choice([0, 0, 5]))

    def some() -> Any:
        return rng.choice([thing(rng), layers, 0, 1, 2, 3, 2**32 - 1, -1, None, "portable", "mmx"])

    def values(size: int) -> Any:
        return rng.choice(
            [np.zeros(size, "f4"), np.zeros(size, "f8"), np.zeros(size + 1, "f4"), some()]
        )

    calls: list[Any] = [
        lambda: library.kernel_name(some()),
        lambda: library.weight_values(layers, some(), some()),
        lambda: library.Net(*(some() for _ in range(7))),
        lambda: library.Step(*(some() for _ in range(6))),
    ]
    spec = make_spec(hidden=3)
    streams = rng.randrange(1, 4)
    net = NativeBackend(spec, random_weights(spec), streams=streams)._net
    count = net.sizes()[1]
    doubles = [np.zeros(n) for n in (3, 4, 3 * streams)]

    def a_step() -> Any:
        pick = [None, bytes(16), rng.choice(doubles), rng.choice(doubles), some()]
        processing = (
            *(rng.randrange(5), doubles[0], rng.choice(doubles)),
            *(rng.choice(pick), rng.choice(pick), rng.choice(pick)),
        )
        last = rng.choice([None, doubles[2], some()])
        batched = streams > 1 or rng.random() < 0.5
        given = (net, rng.choice([None, some()]), rng.random() < 0.5, batched, last)
        made = library.Step(*given, rng.choice([None, processing, processing, some()]))
        if rng.random() < 0.3:
            made.own(some())
        return made

    calls += [
        lambda: net.reset(some()),
        lambda: net.get_state(some(), values(count)),
        lambda: net.set_state(rng.randrange(4), values(count)),
        lambda: net.get_state(native.ALL, values(count * streams)),
        lambda: net.run(values(3 * streams * 2), values(4 * streams * 2)),
        lambda: a_step().step(some(), out=values(4)),
        lambda: a_step().rows(rng.choice([*doubles, some()]), values(4 * streams)),
        lambda: a_step().step(*(some() for _ in range(rng.randrange(4)))),
    ]
    for _ in range(20):
        outcome(rng.choice(calls))


def main(seconds: float, seed: int) -> None:
    end = time.monotonic() + seconds
    count = 0
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    while time.monotonic() < end or count < 2:
        rng = random.Random(f"{seed} {count}")
        (sessions, arguments)[count % 2](rng)
        count += 1
    sys.stdout.write(f"Done {count} runs of {native.LIBRARY}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
