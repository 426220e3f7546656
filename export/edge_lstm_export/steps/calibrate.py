"""Step 5: the samples for the quantizer: features of real training streams, with the states that
really occur before them.

The samples are drawn evenly from strata: the class, the time since the reset (in powers of two),
and the kind of stream. A stream starts anew at each recording, or is carried through all of them,
because a board does either. A convergence curve says how many samples are enough. For it the
emulated int8 cell is streamed over validation and training data, and the smallest set is taken that
is within TOLERABLE of the best one.

A bidirectional model has no states to draw. Its samples are sequences of the length that the
converted model takes, the classes in turn.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm.emulate.npu_networks import refused

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
    curved = w8a8 and not refused(work.spec.network)
    calibration, curve = calibrate(
        work.spec,
        work.weights,
        recordings,
        [s.label for s in splits.train],
        stream if curved else None,
    )
    if curve:
        size = len(calibration["x"])
        best = min(curve.values())
        work.say(
            f"  {size} samples: emulated NRMSE of the int8 cell {curve[size]:.1e}, "
            f"{best:.1e} with the best size"
        )
    return dataclasses.replace(work, calibration=calibration, convergence=curve)
