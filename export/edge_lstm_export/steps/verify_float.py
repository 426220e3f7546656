"""Step 4: NumPy float32, the native kernel and ONNX Runtime on every form, against the float64 reference over the golden stream.

Out of tolerance ends the export: nothing that follows would mean anything.
"""

from __future__ import annotations

import contextlib
import dataclasses

from edge_lstm_runtime import Backend, BackendUnavailableError, ConversionError, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.backends.onnx import onnx_backend
from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.verify.error import float32_tolerance
from edge_lstm_runtime.verify.golden import run_sequences

from ..measure import keys
from ..words import beside
from ..work import Accuracy, Work

MEMBERS = {"lstm": "model.onnx", "cell": "cell.onnx"}  # what the forms are called in the bundle


def call(work: Work) -> Work:
    backends: dict[Measured, Backend] = {keys.NUMPY: numpy_backend(work.spec, work.weights)}
    with contextlib.suppress(BackendUnavailableError):  # the step that quantises says so
        backends[keys.NATIVE] = NativeBackend(work.spec, work.weights)
    for form, graph in work.graphs.items():
        backends[keys.onnx(MEMBERS[form])] = onnx_backend(work.spec, graph.SerializeToString())
    rows = work.rows
    accuracy = dict(work.accuracy)
    tolerance = float32_tolerance(work.reference)
    for name, backend in backends.items():
        outputs = run_sequences(backend, rows, work.lengths)
        comparison = compare(outputs, work.reference)
        accuracy[name] = Accuracy(outputs, comparison, tolerance, "CPU of the exporting machine")
        if not comparison.within(tolerance):
            step, output = comparison.worst
            found, allowed = beside(comparison.max_abs, tolerance.limit, 2)
            raise ConversionError(
                f"{name} differs from the float64 reference by {found} at step {step}, output "
                f"{work.spec.output_names[output]!r}; at most {allowed} was expected"
            )
    return dataclasses.replace(work, accuracy=accuracy)
