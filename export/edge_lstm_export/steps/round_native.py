"""Step 8: the native kernel with float16 weights, and its distance from the reference.

The kernel rounds them itself when it opens the bundle, so nothing is stored but what they cost.
"""

from __future__ import annotations

import dataclasses

from edge_lstm_runtime import BackendUnavailableError, compare
from edge_lstm_runtime.backends.native_fp16 import PRECISION, NativeFloat16Backend

from ..measure import tolerances
from ..measure.keys import NATIVE_FP16
from ..work import Accuracy, Work
from .quantize_native import WHERE as ON_CPU


def call(work: Work) -> Work:
    if work.spec.whole or work.spec.network.opaque:
        return work
    try:
        backend = half_backend(work)
    except BackendUnavailableError:
        return work  # nor does the kernel run it in float32
    outputs = backend.run(work.rows)
    comparison = compare(outputs, work.reference)
    tolerance = tolerances.fewer_bits("fp16", outputs, work.reference, ON_CPU)
    error = f"NRMSE {comparison.nrmse:.1e} over the golden samples"
    work.say(f"  {NATIVE_FP16}: {error}, {backend.weight_bytes:,} bytes")
    found = Accuracy(outputs, comparison, tolerance, "CPU of the exporting machine")
    return dataclasses.replace(work, accuracy={**work.accuracy, NATIVE_FP16: found})


def half_backend(work: Work) -> NativeFloat16Backend:
    """Raises BackendUnavailableError if the kernel is not here or does not run the network."""
    return NativeFloat16Backend(work.spec, work.weights, PRECISION)
