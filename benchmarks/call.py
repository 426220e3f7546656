"""A call of `Session.step` from Python, less the step inside C: what the way in costs.

All in turns on one pinned core, in one process. The step inside C is one call over many rows of
features, for each row. A session's call checks the sample, normalizes it and scales the answer
back too. The figures include the loop of the measurement, about 5 ns.
"""

from __future__ import annotations

import argparse
import statistics
import timeit
from typing import Any

import machine
import numpy as np
from kernel import verdict

from edge_lstm_runtime import ModelSpec, Session, StreamsSession
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.tasks.forecast import Forecast

CHANNELS = 8
ROWS = 1000
STREAMS = 4
# statement -> the most nanoseconds above the step inside C
WAYS = {
    "session.step(listed)": 180.0,
    "session.step(doubles)": 120.0,
    "session.step(floats)": 120.0,
    "session.step(listed, out=y)": None,
    "session.step(doubles, out=y)": 60.0,
    "session.step(floats, out=y)": 60.0,
}


def spec_of(hidden: int) -> ModelSpec:
    """A forecast in raw units: the samples are normalized, and the answers scaled back."""
    names = tuple(f"ch{k}" for k in range(CHANNELS))
    inputs = Channels(names, tuple(map(float, range(CHANNELS))), (1.5,) * CHANNELS)
    answer = Forecast(names[:2], 2, (0.5,) * 4, (1.5,) * 4)
    layers = (Lstm("lstm0", ("x",), hidden), Dense("head", ("lstm0",), 4))
    return ModelSpec(inputs, Network(CHANNELS, layers), answer)


def measure(statements: dict[str, str], known: dict[str, Any], repeats: int) -> dict[str, float]:
    """Nanoseconds of each, the medians of turns."""
    number = 2000
    timers = {name: timeit.Timer(code, globals=known) for name, code in statements.items()}
    times: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(repeats):
        for name, timer in timers.items():
            few = 2 if name == "inside C" else number
            per = few * ROWS if name == "inside C" else few
            times[name].append(1e9 * timer.timeit(few) / per)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/call.py --repeats 101"
    )
    parser.add_argument("--repeats", type=int, default=301, help="turns (default: %(default)s)")
    parser.add_argument("--core", type=int, help="the core to run on (default: the last one)")
    arguments = parser.parse_args()
    core = machine.pin(arguments.core)
    print(f"{machine.describe('numpy')}; core {core}")
    print(
        f"{CHANNELS} channels, normalized, 4 answers in raw units; nanoseconds, medians of "
        f"{arguments.repeats} turns"
    )
    rng = np.random.default_rng(1)
    for hidden in (16, 64):
        spec = spec_of(hidden)
        weights = {
            name: rng.uniform(-0.25, 0.25, shape).astype(np.float32)
            for name, shape in spec.network.weights.items()
        }
        doubles = rng.normal(size=CHANNELS)
        rows = rng.normal(size=(ROWS, 1, CHANNELS)).astype(np.float32)
        inner, backend = NativeBackend(spec, weights), NativeBackend(spec, weights)
        several = NativeBackend(spec, weights, streams=STREAMS)
        known = {
            "session": Session(spec, backend), "net": inner._net, "rows": rows,
            "doubles": doubles, "floats": doubles.astype(np.float32), "listed": doubles.tolist(),
            "y": np.zeros(4, np.float32), "ys": np.zeros((ROWS, 1, 4), np.float32),
            "backend": inner, "streams": StreamsSession(spec, several, STREAMS),
            "samples": rng.normal(size=(STREAMS, CHANNELS)),
            "table": rng.normal(size=(ROWS, CHANNELS)),
        }  # fmt: skip
        for name in ("doubles", "floats", "listed"):
            known["session"].step(known[name])
        known["streams"].step(known["samples"])
        statements = {"inside C": "net.run(rows, ys)", **{way: way for way in WAYS}}
        statements |= {
            "backend.step(features)": "backend.step(floats)",
            f"{STREAMS} streams, array": "streams.step(samples)",
        }
        found = measure(statements, known, arguments.repeats)
        inside = found.pop("inside C")
        runs = min(timeit.repeat("session.run(table)", globals=known, number=2, repeat=50)) / 2
        print(f"\nhidden {hidden}: a step inside C {inside:.0f}")
        print(f"{'':<30}{'call':>8}{'above C':>10}")
        for name, time in found.items():
            above = "" if "streams" in name else f"{time - inside:>10.0f}"
            most = WAYS.get(name)
            told = verdict(time - inside, most=most) if most else ""
            print(f"{name:<30}{time:>8.0f}{above}{told}")
        print(f"{'session.run, for each row':<30}{1e9 * runs / ROWS:>8.0f}")


if __name__ == "__main__":
    main()
