"""Step 10: the error of each converted model over the golden stream, on the simulator.

If a model is certainly wrong there, it is left out. The verdict on the others follows from the
whole test split.
"""

from __future__ import annotations

import dataclasses

from edge_lstm_runtime import compare

from ..measure import tolerances
from ..measure.judgement import why_wrong
from ..npu.targets import known, vendor_of
from ..work import Accuracy, Artifact, Work

WHERE = "on the converter's simulator"


def call(work: Work) -> Work:
    for member, artifact in work.artifacts.items():
        scheme = artifact.scheme
        outputs = artifact.outputs
        comparison = compare(outputs, work.reference)
        place = f"over the {comparison.steps:,} golden samples {WHERE}"
        if why := why_wrong(scheme, {place: comparison.nrmse}):
            work = work.leave_out(member, f"{why}; {instead(work, artifact)}")
            continue
        tolerance = tolerances.fewer_bits(scheme, outputs, work.reference, WHERE)
        made = Accuracy(outputs, comparison, tolerance, vendor_of(artifact.target).source)
        accuracy = {**work.accuracy, artifact.simulated: made}
        work = dataclasses.replace(work, accuracy=accuracy)
    return work


def instead(work: Work, artifact: Artifact) -> str:
    """Advice if a scheme is not good. Not every NPU has fp16."""
    accurate = known(artifact.target).accurate
    if accurate is not None and artifact.scheme != accurate:
        return f"{accurate} is the most accurate scheme of {artifact.target}"
    otherwise = (
        "another NPU" if work.run.imported else "train with inputs and a state of a smaller range"
    )
    base = work.base.backend
    return f"{artifact.target} has no more accurate scheme: use the {base} backend, or {otherwise}"
