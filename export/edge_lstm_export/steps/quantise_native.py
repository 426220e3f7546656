"""Step 6: int8 weights for the native kernel on any board's CPU, and how far they are from the reference.

Its sums of integers are exact, so a board's answers are those of this machine to within float32 rounding of the gates, which may
move an h to the next of 127 steps.
"""

from __future__ import annotations

import dataclasses

from edge_lstm_runtime import BackendUnavailableError, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8

from .. import native_int8
from ..work import Accuracy, Work
from .simulate import MARGIN, quantised_tolerance

NAME = "native-int8"


def call(work: Work) -> Work:
    if work.spec.bidirectional:  # which the kernel does not run
        return work
    try:
        backend = native_backend(work, arrays := native_int8.quantise(work.weights, work.calibration))
    except BackendUnavailableError as e:
        note = f"no int8 weights for CPUs were made: {e}"
        work.say(f"  {note}")
        return dataclasses.replace(work, notes=(*work.notes, note))
    outputs = backend.run(work.rows)
    comparison = compare(outputs, work.reference)
    tolerance = quantised_tolerance(comparison, f"{MARGIN} x the NRMSE on the exporting machine's CPU")
    work.say(f"  {NAME}: NRMSE {comparison.nrmse:.1e}, {backend.weight_bytes:,} bytes")
    accuracy = {**work.accuracy, NAME: Accuracy(outputs, comparison, tolerance, "CPU of the exporting machine")}
    return dataclasses.replace(work, native_int8=arrays, accuracy=accuracy)


def native_backend(work: Work, arrays: native_int8.Arrays) -> NativeBackend:
    """The kernel with these int8 weights. Raises BackendUnavailableError where there is no kernel."""
    layers, steps = read_int8(work.spec, arrays)
    return NativeBackend(work.spec, {**work.weights, **layers}, "int8", steps=steps)
