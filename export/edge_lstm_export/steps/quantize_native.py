"""Step 7: int8 weights for the native kernel on any board's CPU, and their distance from the
reference.

The kernel's sums of integers are exact. So a board's answers are those of this machine to within
float32 rounding of the gates, which may move an h to the next of 127 steps.
"""

from __future__ import annotations

import contextlib
import dataclasses

from edge_lstm_runtime import BackendUnavailableError, compare, native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import int8_products, read_int8

from ..exported import Exported
from ..measure import tolerances
from ..measure.keys import NATIVE_INT8
from ..quantize.calibration import calibrate
from ..quantize.cpu_int8 import Arrays, choose, quantize
from ..work import Accuracy, Work

NAME = NATIVE_INT8.backend
WHERE = "on the exporting machine's CPU"


def call(work: Work) -> Work:
    if work.spec.whole or not int8_products(work.spec.network):
        return work  # the kernel does not run it, or rounds nothing
    try:
        native.network_of(work.spec.network)  # before the work, which takes seconds
        if work.run.synthetic:
            raise BackendUnavailableError("they are calibrated with real inputs, and none are here")
        backend = native_backend(work, arrays := of_run(work.run))
    except BackendUnavailableError as e:
        note = f"no int8 weights for CPUs were made: {e}"
        work.say(f"  {note}")
        return dataclasses.replace(work, notes=(*work.notes, note))
    outputs = backend.run(work.rows)
    comparison = compare(outputs, work.reference)
    tolerance = tolerances.fewer_bits("int8", outputs, work.reference, WHERE)
    error = f"NRMSE {comparison.nrmse:.1e} over the golden samples"
    work.say(f"  {NAME}: {error}, {backend.weight_bytes:,} bytes")
    notes = work.notes
    if came_of_it := fine_tuned(work.run):
        work.say(f"  {came_of_it}")
        notes = (*notes, came_of_it)
    accuracy = {
        **work.accuracy,
        NATIVE_INT8: Accuracy(outputs, comparison, tolerance, "CPU of the exporting machine"),
    }
    return dataclasses.replace(work, native_int8=arrays, accuracy=accuracy, notes=notes)


def fine_tuned(run: Exported) -> str | None:
    """The result of quantization-aware training for this kernel, or None for a run without it."""
    found = run.metrics.get("quantize")
    if found is None or found["scheme"] != "int8":
        return None
    if not found["epochs"]:
        why = "rounding costs no more than `tolerance` allows, so nothing was fine-tuned"
        return f"{NAME}: {why}, and the float model's weights are rounded by GPTQ"
    if not found["best_epoch"]:
        return (
            f"{NAME}: no epoch of the fine-tuning was better on the validation split, "
            "so the float model's weights are rounded by GPTQ"
        )
    return (
        f"{NAME}: the weights lie on the grid that they were fine-tuned on, "
        f"in epoch {found['best_epoch']}, and GPTQ leaves them there"
    )


def of_run(run: Exported) -> Arrays:
    """The arrays of int8.npz for a trained run. They are the same for every NPU."""
    recordings = [run.spec.inputs.features(s.x)[0] for s in run.splits.train]
    labels = [s.label for s in run.splits.train]
    calibration = calibrate(run.spec, run.weights, recordings, labels)
    validation = [run.spec.inputs.features(s.x)[0] for s in run.splits.val]
    found = run.metrics.get("quantize") or {"scheme": None}
    if found["scheme"] != "int8" or not found["best_epoch"]:  # else the weights are on their grid
        with contextlib.suppress(BackendUnavailableError):
            return choose(run.spec, run.weights, calibration, [*validation, *recordings])
    return quantize(run.spec, run.weights, calibration)


def native_backend(work: Work, arrays: Arrays) -> NativeBackend:
    """The kernel with these int8 weights. Raises BackendUnavailableError if there is no kernel."""
    layers, steps = read_int8(work.spec, arrays)
    return NativeBackend(work.spec, {**work.weights, **layers}, "int8", steps=steps)
