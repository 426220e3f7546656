"""Step 5: what the quantizer sees: features of real training streams, with the states that really
occur before them.

The samples are drawn evenly from strata: the class, the time since the reset (in powers of two),
and whether the stream starts anew at each recording or is carried through all of them, because a
board does either. How many are enough, a convergence curve says: the emulated int8 cell is
streamed over validation and training data, and the smallest set is taken that is within TOLERABLE
of the best one.

Of a bidirectional model there are no states to draw: it is sequences of the length that the
converted model takes, the classes in turn.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..quantize import npu_int8
from ..quantize.calibration import calibrate, sequences
from ..work import Work

STREAMED = 6000  # steps for a point of the curve


def call(work: Work) -> Work:
    splits = work.run.splits
    recordings = [work.spec.inputs.features(s.x)[0] for s in splits.train]
    if work.spec.whole:
        calibration = (
            sequences(recordings, [s.label for s in splits.train], work.chunk)
            if work.chunk and work.schemes
            else {}
        )
        return dataclasses.replace(work, calibration=calibration)
    stream = np.concatenate(
        [work.spec.inputs.features(s.x)[0] for s in (*splits.val, *splits.train)]
    )[:STREAMED]
    w8a8 = any("w8a8" in schemes for schemes in work.schemes.values())
    curved = w8a8 and not npu_int8.refused(work.spec.network)
    calibration, curve = calibrate(
        work.spec,
        work.weights,
        recordings,
        [s.label for s in splits.train],
        stream if curved else None,
    )
    if curve:
        size, best = len(calibration["x"]), min(curve.values())
        work.say(
            f"  {size} samples: emulated NRMSE of the int8 cell {curve[size]:.1e}, {best:.1e} with the best size"
        )
    return dataclasses.replace(work, calibration=calibration, convergence=curve)
