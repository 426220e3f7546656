"""Step 11: the error of each converted model, tensor by tensor, and its growth while the state is
carried.

The vendor of its NPU knows the tensors inside. If the model takes several steps at once, only its
outputs are inspected. A bidirectional model carries nothing, so there is nothing to inspect. Nor
are there names for what is inside an opaque step.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ConversionError, Reference, compare
from edge_lstm_runtime.errors import ConverterDiedError

from ..measure.passes import NEVER_RESET
from ..npu.targets import vendor_of
from ..work import Artifact, Inspection, Work

TRACED_STEPS = 300
DRIFT_STEPS = 10_000
DRIFT_MACS = (
    10**9
)  # of all these steps: of a large net the simulator would take a quarter of an hour
PER_WINDOW = 1000  # steps; for a model that takes several at once, a multiple of those
GROWTH = 1.5  # the error grows if that of the last window is more than this times the first's


def call(work: Work) -> Work:
    if work.spec.whole or work.step is not None:
        return work
    results = work.batch.side_by_side(partial(_inspect, work), work.artifacts.values())
    found = {}
    for member, (inspection, died) in zip(work.artifacts, results, strict=True):
        found[member] = inspection
        work.say(f"  {member}: {inspection.verdict}")
        if died:
            work = work.doubt(f"{member}: its tensors were not inspected, because {died}")
    return dataclasses.replace(work, inspections=found)


def _inspect(work: Work, artifact: Artifact) -> tuple[Inspection, str]:
    """The second is "", or how the converter died."""
    rows = work.rows
    window = drift_window(artifact.form.steps)
    # The same samples over and over, so that windows differ in the state's history alone.
    stream = np.tile(rows[:window], (drift_windows(window, work.spec.network.macs_per_step), 1))
    reference = Reference(work.spec, work.weights).run(stream)
    backend = artifact.converter.backend(work.weights)
    backend.reset()
    outputs = backend.run(stream)
    spread = float(reference.std()) or 1.0
    squares = ((outputs - reference) ** 2).reshape(-1, window, outputs.shape[1]).mean(axis=(1, 2))
    drift = tuple((np.sqrt(squares) / spread).tolist())
    tensors: tuple[dict[str, Any], ...] = ()
    died = ""
    if artifact.form.steps == 1:
        try:
            tensors = _tensors(work, artifact, rows[:TRACED_STEPS])
        except ConverterDiedError as e:
            died = str(e)
        except ConversionError as e:
            # The converter may refuse the further outputs. The model itself has been converted
            # without.
            work.say(f"  no tensors of {artifact.target} {artifact.scheme}: {e}")
    return Inspection(tensors, drift, window, _verdict(drift, window, tensors)), died


def drift_window(steps: int) -> int:
    """The largest multiple of `steps` in PER_WINDOW, or `steps` itself if it is larger. So the
    model itself answers every step."""
    return steps * max(1, PER_WINDOW // steps)


def drift_windows(window: int, macs: int) -> int:
    """How many times the samples are streamed, at least twice. macs: of a step."""
    steps = min(DRIFT_STEPS, DRIFT_MACS // max(1, macs))
    return max(2, round(steps / window))


def _tensors(
    work: Work, artifact: Artifact, rows: NDArray[np.float32]
) -> tuple[dict[str, Any], ...]:
    traced = vendor_of(artifact.target).traced(work, artifact, rows)
    return tuple(_row(one.name, one.found, one.reference) for one in traced)


def _row(name: str, found: NDArray[Any], reference: NDArray[np.float64]) -> dict[str, Any]:
    """cosine: of the two as vectors. SNR: power of the reference over that of the error, in dB, or
    None if either is 0."""
    comparison = compare(found, reference)
    error = float(((found - reference) ** 2).sum())
    signal = float((reference**2).sum())
    norms = math.sqrt(float((found.astype(np.float64) ** 2).sum()) * signal)
    return {
        "name": name,
        "nrmse": comparison.nrmse,
        "cosine": float((found * reference).sum()) / norms if norms else 1.0,
        "max_abs": comparison.max_abs,
        "snr_db": 10 * math.log10(signal / error) if error and signal else None,
    }


def _trend(growth: float) -> str:
    """Judged as it is printed, to two decimals."""
    growth = round(growth, 2)
    if growth > GROWTH:
        return "the error GROWS"
    return "the error grows a little" if growth > 1 else "no growth"


def _verdict(drift: Sequence[float], window: int, tensors: Sequence[dict[str, Any]]) -> str:
    growth = drift[-1] / drift[0] if drift[0] else 1.0
    said = (
        f"over the same {window:,} golden samples {len(drift)} times, {NEVER_RESET}, "
        f"NRMSE {drift[0]:.1e} the first time and {drift[-1]:.1e} the last: {_trend(growth)}"
    )
    if tensors:
        worst = max(tensors, key=lambda row: row["nrmse"])
        inside = f"largest error inside over the first {TRACED_STEPS}"
        said += f"; {inside}: {worst['name']} ({worst['nrmse']:.1e})"
    return said
