"""Step 8: how far each converted model is from the reference over the golden stream, on the simulator.

One that is certainly wrong there is left out. The verdict on the others follows from the whole test split.
"""

from __future__ import annotations

import dataclasses

from edge_lstm_runtime import compare

from .. import tolerances
from ..judgement import why_wrong
from ..target_table import known
from ..work import SIMULATOR, Accuracy, Artifact, Work

WHERE = "on the converter's simulator"


def call(work: Work) -> Work:
    for member, artifact in work.artifacts.items():
        comparison = compare(artifact.outputs, work.reference)
        if why := why_wrong(artifact.scheme, {f"over the {comparison.steps:,} golden samples {WHERE}": comparison.nrmse}):
            work = work.leave_out(member, f"{why}. {instead(artifact)}")
            continue
        tolerance = tolerances.quantized(artifact.scheme, artifact.outputs, work.reference, WHERE)
        made = Accuracy(artifact.outputs, comparison, tolerance, "simulator of rknn-toolkit2, not a board")
        work = dataclasses.replace(work, accuracy={**work.accuracy, f"{SIMULATOR}{member}": made})
    return work


def instead(artifact: Artifact) -> str:
    """What to do about a scheme that ruins the state; not every NPU has fp16."""
    others = [s for s in ("fp16", "w16a16i_dfp") if s in known(artifact.target).schemes and s != artifact.scheme]
    if others and artifact.scheme != "fp16":
        return f"Use {others[0]}"
    return "Use the numpy backend, or train with inputs and a state of a smaller range"
