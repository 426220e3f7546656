"""Nets of guitar amplifiers at 48 kHz: how many times faster than real time an array is answered.

An LSTM and a dense layer with one input, as GuitarML's and NAM's nets, imported from the JSON of
RTNeural. `Session.run` from Python, one core, one second of sound at a time. Then the command
`edge-lstm run --backend native --input ten.wav --output out.wav` over ten seconds, as it tells its
time itself, and in whole, with its start. The weights are random: the time does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import machine
import numpy as np

from edge_lstm_export import export_run, import_net
from edge_lstm_runtime import Session
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend

RATE = 48_000
SECONDS = 10  # of the wav file
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


def write_wav(path: Path, samples: int) -> None:
    pcm = np.random.default_rng(0).integers(-9000, 9000, samples)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.astype("<i2").tobytes())


def command(bundle: Path, wav: Path, turns: int) -> tuple[float, float]:
    """Times faster than real time, the medians: of the work, and of the whole process."""
    words = [sys.executable, "-m", "edge_lstm_command", "run", bundle, "--backend", "native"]
    told = []
    whole = []
    for _ in range(turns):
        start = time.perf_counter()
        done = subprocess.run(
            [*words, "--input", wav, "--output", wav.with_name("out.wav")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        whole.append(SECONDS / (time.perf_counter() - start))
        found = re.search(r"(\S+) times real time", done.stderr)
        assert found is not None, done.stderr
        told.append(float(found[1]))
    return statistics.median(told), statistics.median(whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, metavar="N", help="default: %(default)s")
    turns = parser.parse_args().turns
    print(machine.describe("numpy"))
    print("times faster than real time at 48 kHz; median of", turns, "turns of one second\n")
    print("| hidden | native | native-int8 | numpy | `run`, wav to wav | with its start |")
    print("| --- | --- | --- | --- | --- | --- |")
    xs = np.random.default_rng(0).uniform(-1, 1, (RATE, 1)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "ten.wav")
        write_wav(wav, SECONDS * RATE)
        for hidden in SIZES:
            imported = import_net(net(Path(folder), hidden), rate=RATE)
            export_run(imported, Path(folder, "amp.edge"), schemes=(), say=lambda _: None)
            spec, own = imported.spec, imported.weights
            backends = (
                NativeBackend(spec, own),
                NativeBackend(spec, own, "int8"),
                numpy_backend(spec, own),
            )
            found = [speed(Session(spec, backend), xs, turns) for backend in backends]
            found += command(Path(folder, "amp.edge"), wav, turns)
            print(f"| {hidden} | " + " | ".join(f"{f:.1f}" for f in found) + " |", flush=True)


if __name__ == "__main__":
    main()
