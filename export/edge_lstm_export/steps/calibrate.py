"""Step 6: the samples for the quantizer: features of real training streams, with the states that
really occur before them.

The samples are drawn evenly from strata: the class, the time since the reset (in powers of two),
and the kind of stream. A stream starts anew at each recording, or is carried through all of them,
because a board does either. What else the forms for an NPU need, its vendor prepares.

A bidirectional model has no states to draw. Its samples are sequences of the length that the
converted model takes, the classes in turn.
"""

from __future__ import annotations

import dataclasses

from ..npu.targets import by_vendor
from ..quantize.calibration import calibrate, sequences
from ..work import Work


def call(work: Work) -> Work:
    splits = work.run.splits
    recordings = [work.spec.inputs.features(s.x)[0] for s in splits.train]
    if work.step is not None:  # float16 alone, which needs none
        return work
    if work.spec.whole:
        calibration = (
            sequences(recordings, [s.label for s in splits.train], work.chunk)
            if work.chunk and work.schemes
            else {}
        )
        return dataclasses.replace(work, calibration=calibration)
    calibration = calibrate(work.spec, work.weights, recordings, [s.label for s in splits.train])
    work = dataclasses.replace(work, calibration=calibration)
    for vendor, schemes in by_vendor(work.schemes):
        work = vendor.prepare(work, schemes)
    return work
