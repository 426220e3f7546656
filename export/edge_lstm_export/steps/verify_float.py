"""Step 4: NumPy float32, the native kernel, and ONNX Runtime on every form, against the float64
reference over the golden stream.

If NumPy is out of tolerance, the export ends, because nothing that follows would mean anything. If
something else is, it is left out. For a net that is a graph, ONNX Runtime stands for NumPy.
"""

from __future__ import annotations

import contextlib
import dataclasses

from edge_lstm_runtime import Backend, BackendUnavailableError, ConversionError, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.onnx import onnx_backend
from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.verify.golden import run_sequences

from ..measure import keys, tolerances
from ..words import beside
from ..work import GRAPHS, Accuracy, Work


def call(work: Work) -> Work:
    backends: dict[Measured, Backend] = {work.base: work.float32()}
    with contextlib.suppress(BackendUnavailableError):  # the step that quantizes says so
        backends[keys.NATIVE] = NativeBackend(work.spec, work.weights)
    for form, graph in work.graphs.items():
        backends[keys.onnx(GRAPHS[form])] = onnx_backend(work.spec, graph.SerializeToString())
    weights = work.weights if work.step is None else work.step.weights
    opened = None if work.step is None else work.float32
    tolerance = tolerances.float32(
        work.spec, weights, work.rows, work.lengths, work.reference, opened
    )
    for name, backend in backends.items():
        outputs = run_sequences(backend, work.rows, work.lengths)
        comparison = compare(outputs, work.reference)
        if comparison.within(tolerance):
            made = Accuracy(outputs, comparison, tolerance, "CPU of the exporting machine")
            work = dataclasses.replace(work, accuracy={**work.accuracy, name: made})
            continue
        step, output = comparison.worst
        found, allowed = beside(comparison.max_abs, tolerance.limit, 2)
        differs = (
            f"{name} differs from the float64 reference by {found} at step {step}, output "
            f"{work.spec.answer.names[output]!r}; at most {allowed} was expected"
        )
        if name == work.base:
            raise ConversionError(differs)
        work = work.leave_out(name.member or name.backend, differs)
    return work
