"""The native kernel in int8 over whole test splits of three trained nets.

The weights are plainly rounded, and as the export rounds them.

The figures are of this machine's CPU. On any other the integer sums are the same, and the rest
differs by float32 rounding. EDGE_LSTM_DATA names the folder with nab/ and cmapss/.
"""

from __future__ import annotations

import argparse
import os
import sys

import machine
import numpy as np
from rknn_int8 import DRIFT_STEPS, WINDOW, trained

from edge_lstm_export.quantize.calibration import calibrate
from edge_lstm_export.quantize.cpu_int8 import quantize
from edge_lstm_runtime import Reference, compare, native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: EDGE_LSTM_DATA=data python benchmarks/native_int8.py"
    )
    parser.add_argument(
        "--epochs", type=int, default=40, help="of the turbofan net (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if "EDGE_LSTM_DATA" not in os.environ:
        sys.exit("native_int8: set EDGE_LSTM_DATA to the folder with nab/ and cmapss/")
    print(machine.describe("torch", "numpy"))
    print(f"whole test split as one stream, the state never reset; kernel {native.kernels()[0]}\n")
    print(
        "| net | weights | max abs | NRMSE | metric | fp32 | drift | bytes |\n" + "| --- " * 8 + "|"
    )
    for task in trained(arguments.epochs):
        samples = calibrate(task.spec, task.weights, task.train, task.labels)
        layers, steps = read_int8(task.spec, quantize(task.spec, task.weights, samples))
        backends = {
            "float32": NativeBackend(task.spec, task.weights),
            "int8, rounded": NativeBackend(task.spec, task.weights, "int8"),
            "int8, ours": NativeBackend(task.spec, {**task.weights, **layers}, "int8", steps=steps),
        }
        stream = np.concatenate(task.test).astype(np.float32)
        repeated = np.resize(stream, (DRIFT_STEPS, stream.shape[1]))
        expected, expected_repeated = (
            Reference(task.spec, task.weights).run(rows) for rows in (stream, repeated)
        )
        for label, backend in backends.items():
            outputs = backend.run(stream)
            backend.reset()
            long = compare(again := backend.run(repeated), expected_repeated)
            error = (again - expected_repeated).reshape(-1, WINDOW, expected.shape[1])
            windows = np.sqrt((error**2).mean(axis=(1, 2)))
            exact = task.metric(expected.astype(np.float32))
            metric = f"{task.metric_name} {task.metric(outputs):.4g} | {exact:.4g}"
            nrmse = compare(outputs, expected).nrmse
            print(
                f"| {task.name} | {label} | {long.max_abs:.1e} | {nrmse:.1e} | {metric} "
                f"| {windows[-1] / windows[0]:.2f} | {backend.weight_bytes:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
