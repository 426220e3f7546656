"""Imported nets: a step of ours beside a step of ONNX Runtime, on the same net.

A GRU of 64 units, and a causal convolution with an LSTM, made in PyTorch with random weights and
imported by `from_torch`. ONNX Runtime runs the graph of one step that the bundle has, with its
states as inputs and outputs, on one thread. Inside C: `run` over an array, for each step. The turns
of all are interleaved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import machine
import numpy as np
import torch
from torch import Tensor, nn

from edge_lstm_export import from_torch
from edge_lstm_export.graphs import bundle
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.onnx import onnx_backend

FEATURES = 8
STEPS = 2000  # of a turn


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(FEATURES, 64, batch_first=True)
        self.head = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.gru(x)[0])
        return y


class ConvLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, 32, 5)
        self.norm = nn.BatchNorm1d(32)
        self.lstm = nn.LSTM(32, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.transpose(1, 2), (4, 0))
        y = torch.relu(self.norm(self.conv(padded))).transpose(1, 2)
        found: Tensor = self.head(self.lstm(y)[0])
        return found


def each(step: Callable[[np.ndarray], object], rows: np.ndarray) -> float:
    """Seconds of a step."""
    start = time.perf_counter()
    for row in rows:
        step(row)
    return (time.perf_counter() - start) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, metavar="N", help="default: %(default)s")
    turns = parser.parse_args().turns
    torch.manual_seed(0)
    print(machine.describe("onnxruntime"))
    print(f"microseconds of a step, median of {turns} turns of {STEPS:,} steps\n")
    print("| net | native in C | native from Python | ONNX Runtime from Python | ratio to C |")
    print("| --- | --- | --- | --- | --- |")
    for name, net in (("GRU 64", Gru()), ("conv 32 x 5, LSTM 32", ConvLstm())):
        imported = from_torch(net.eval(), torch.zeros(1, 20, FEATURES))
        spec = imported.spec
        native = NativeBackend(spec, imported.weights)
        form = bundle.forms_of(spec)[0]
        graph = bundle.build(spec, imported.weights, form).SerializeToString()
        theirs = onnx_backend(spec, graph)
        rows = np.random.default_rng(0).standard_normal((STEPS, FEATURES)).astype(np.float32)
        seconds: dict[str, list[float]] = {"c": [], "python": [], "onnx": []}
        for _ in range(turns):
            start = time.perf_counter()
            native.run(rows)
            seconds["c"].append((time.perf_counter() - start) / STEPS)
            seconds["python"].append(each(native.step, rows))
            seconds["onnx"].append(each(theirs.step, rows))
        c, python, onnx = (1e6 * statistics.median(s) for s in seconds.values())
        print(f"| {name} | {c:.2f} | {python:.2f} | {onnx:.1f} | {onnx / c:.1f} |", flush=True)


if __name__ == "__main__":
    main()
