"""One streamed step called from Python: the NumPy backend against ONNX Runtime's LSTM operator.

Both have one thread, side by side.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import machine
import numpy as np
import onnxruntime
from peers import network

from edge_lstm_export.graphs.bundle import build
from edge_lstm_runtime import Reference, Session
from edge_lstm_runtime.backends.numpy import NumpyBackend

TARGET = 0.65
SIZES = ((64, 1), (16, 1), (32, 1), (128, 1), (64, 2), (128, 2))  # hidden, layers
# The first one has the target.


def calls(hidden: int, layers: int, inputs: int) -> dict[str, Callable[[], object]]:
    """The calls, all with the same weights and the same sample.

    Ours carry the state. ONNX Runtime's is not even fed back.
    """
    spec, weights = network(hidden, layers, inputs)
    backend = NumpyBackend(spec, weights)
    session = Session(spec, NumpyBackend(spec, weights))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = build(spec, weights, "fused").SerializeToString()
    opened = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    run = opened.run
    outputs = [node.name for node in opened.get_outputs()]  # y, and the states
    feed = {n.name: np.zeros((1, 1, hidden), np.float32) for n in opened.get_inputs()}
    x = np.random.default_rng(1).standard_normal(inputs).astype(np.float32)
    feed["x"] = x.reshape(1, 1, inputs)

    # None of them may be fast because it is wrong.
    expected = Reference(spec, weights).step(x)
    for name, got in (
        ("backend", backend.step(x)),
        ("session", session.step(x)),
        ("onnx", np.ravel(run(outputs, feed)[0])),
    ):
        assert np.abs(got - expected).max() < 1e-5, name
    backend_step = backend.step
    session_step = session.step
    return {
        "backend": lambda: backend_step(x),
        "session": lambda: session_step(x),
        "onnx": lambda: run(outputs, feed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/numpy_step.py --repeats 41"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=31,
        help="interleaved repeats, of which the median counts (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=1000, help="steps per repeat (default: %(default)s)"
    )
    parser.add_argument("--inputs", type=int, default=8, help="channels (default: %(default)s)")
    arguments = parser.parse_args()
    print(machine.describe("numpy", "onnxruntime"))
    print(
        f"microseconds per step, batch 1, {arguments.inputs} inputs, one thread; "
        f"medians of {arguments.repeats} x {arguments.steps} steps"
    )
    print(
        "backend: features in, outputs out; session: with normalization and checks; "
        "onnx: a bare session.run of the LSTM operator\n"
    )
    print(
        f"{'hidden':>6} {'layers':>6} {'backend':>9} {'session':>9} {'onnx':>9} "
        f"{'backend/onnx':>13} {'session/onnx':>13}"
    )
    for hidden, layers in SIZES:
        times = machine.interleaved(
            calls(hidden, layers, arguments.inputs),
            repeats=arguments.repeats,
            number=arguments.steps,
        )
        b, s, o = (1e6 * statistics.median(times[name]) for name in ("backend", "session", "onnx"))
        ratios = machine.ratio(times, "backend", "onnx"), machine.ratio(times, "session", "onnx")
        note = (
            f"   target <= {TARGET}: {'met' if ratios[0] <= TARGET else 'MISSED'}"
            if (hidden, layers) == SIZES[0]
            else ""
        )
        print(
            f"{hidden:>6} {layers:>6} {b:>9.2f} {s:>9.2f} {o:>9.2f} "
            f"{ratios[0]:>13.2f} {ratios[1]:>13.2f}{note}"
        )


if __name__ == "__main__":
    main()
