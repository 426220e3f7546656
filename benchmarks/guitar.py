"""Nets of guitar amplifiers at 48 kHz: how many times faster than real time an array is answered.

An LSTM and a dense layer with one input, as GuitarML's and NAM's nets, imported from the JSON of
RTNeural. `Session.run` from Python, one core, one second of sound at a time, beside the session's
own step. The weights are random: the time does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import machine
import numpy as np

from edge_lstm_export.imported import import_net
from edge_lstm_runtime import Session
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend

RATE = 48_000
SIZES = (8, 16, 20, 24, 32, 40)


def net(folder: Path, hidden: int) -> Path:
    rng = np.random.default_rng(hidden)

    def weights(*shape: int) -> object:
        return (rng.uniform(-1, 1, shape) / np.sqrt(hidden)).tolist()

    lstm = [weights(1, 4 * hidden), weights(hidden, 4 * hidden), weights(4 * hidden)]
    layers = [
        {"type": "lstm", "weights": lstm},
        {"type": "dense", "weights": [weights(hidden, 1), weights(1)]},
    ]
    path = folder / f"{hidden}.json"
    path.write_text(json.dumps({"in_shape": [None, None, 1], "layers": layers}))
    return path


def speed(session: Session, xs: object, turns: int) -> float:
    """Times faster than real time, the median."""
    session.run(xs)
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        session.run(xs)
        seconds.append(time.perf_counter() - start)
    return 1 / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, metavar="N", help="default: %(default)s")
    turns = parser.parse_args().turns
    print(machine.describe("numpy"))
    print("times faster than real time at 48 kHz; median of", turns, "turns of one second\n")
    print("| hidden | native | native-int8 | numpy |\n| --- | --- | --- | --- |")
    xs = np.random.default_rng(0).uniform(-1, 1, (RATE, 1)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for hidden in SIZES:
            imported = import_net(net(Path(folder), hidden))
            spec, own = imported.spec, imported.weights
            backends = (
                NativeBackend(spec, own),
                NativeBackend(spec, own, "int8"),
                numpy_backend(spec, own),
            )
            found = [speed(Session(spec, backend), xs, turns) for backend in backends]
            print(f"| {hidden} | " + " | ".join(f"{f:.1f}" for f in found) + " |", flush=True)


if __name__ == "__main__":
    main()
