"""Steps a second of an integer program: our NumPy, and TOSA's reference model, in one run.

    PYTHONPATH=deploy:tests PYTHON benchmarks/tosa.py FILE.tosa [FILE.tosa ...]

PYTHON is the one of an environment with NumPy and tosa-tools. FILE.tosa is an artifact of a bundle.
The inputs are noise over a quarter of their type, and the states are carried. Each of our answers
to one stream is compared with the model's first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tosa_reference_model

from edge_lstm_runtime.backends.tosa.program import Program, unpack
from helpers.tosa_reference import DTYPES, flatbuffer

STREAMS = (1, 64, 256)


def rate(step: Callable[[], Any], seconds: float) -> float:
    """Calls a second."""
    step()
    calls, begin = 0, time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        step()
        calls += 1
    return calls / spent


class Net:
    def __init__(self, file: Path):
        text, constants = unpack(file.read_bytes(), file.name)
        begin = time.perf_counter()
        self.program = Program(text, constants)
        self.opened = time.perf_counter() - begin
        listed = {name: array.tolist() for name, array in constants.items()}
        self.model = flatbuffer({"program": text, "constants": listed})
        self.shapes = [self.program.tensors[name].shape for name in self.program.inputs]
        self.dtypes = [DTYPES[self.program.tensors[n].dtype] for n in self.program.inputs]
        quarter = np.iinfo(self.dtypes[0]).max // 4
        self.rng, self.top = np.random.default_rng(0), quarter

    def noise(self, streams: int) -> np.ndarray[Any, Any]:
        return self.rng.integers(-self.top, self.top, (streams, *self.shapes[0]))

    def ours(self, streams: int) -> Callable[[], Any]:
        x = self.noise(streams)
        state = [np.zeros((streams, *shape), np.int64) for shape in self.shapes[1:]]

        def step() -> None:
            state[:] = self.program.run([x, *state])[1:]

        return step

    def theirs(self) -> Callable[[], Any]:
        x = self.noise(1)[0].astype(self.dtypes[0])
        state = [np.zeros(shape, dtype) for shape, dtype in self.state_types()]

        def step() -> None:
            state[:] = tosa_reference_model.run(self.model, [x, *state])[0][1:]

        return step

    def state_types(self) -> list[Any]:
        return list(zip(self.shapes[1:], self.dtypes[1:], strict=True))

    def differing_steps(self, steps: int) -> int:
        """Of these carried steps, those with another answer or another state than the model's."""
        own = [np.zeros((1, *shape), np.int64) for shape in self.shapes[1:]]
        state = [np.zeros(shape, dtype) for shape, dtype in self.state_types()]
        wrong = 0
        for _ in range(steps):
            x = self.noise(1)
            y, *own = self.program.run([x, *own])
            found, _ = tosa_reference_model.run(self.model, [x[0].astype(self.dtypes[0]), *state])
            state = found[1:]
            pairs = zip((y, *own), found, strict=True)
            wrong += not all(np.array_equal(a[0], b) for a, b in pairs)
        return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each figure")
    parser.add_argument("--steps", type=int, default=1000, help="compared with the model")
    arguments = parser.parse_args()
    heads = [f"{n} streams" if n > 1 else "1 stream" for n in STREAMS]
    print(f"| program | wrong of {arguments.steps} | opened, ms | model |", " | ".join(heads), "|")
    print("| --- " * (4 + len(STREAMS)) + "|")
    for file in arguments.files:
        net = Net(file)
        wrong = net.differing_steps(arguments.steps)
        model = rate(net.theirs(), arguments.seconds)
        ours = [n * rate(net.ours(n), arguments.seconds) for n in STREAMS]
        cells = [f"{value:,.0f}" for value in (1000 * net.opened, model, *ours)]
        print(f"| {file.name} | {wrong} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
