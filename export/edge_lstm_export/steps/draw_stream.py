"""Step 1: the golden stream: real test samples, one recording after the other, and the reference's outputs for them.

The state is carried over the recordings' borders, so that a thousand steps really are carried.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm_runtime import ConversionError, Reference
from edge_lstm_runtime.processing import features

from ..work import Work

STEPS = 1000


def call(work: Work) -> Work:
    recordings = [s.x for s in work.run.splits.test]
    order = np.random.default_rng(0).permutation(len(recordings))  # files are often sorted by class
    stream = np.concatenate([recordings[n] for n in order])
    if len(stream) < STEPS:
        stream = np.tile(stream, (-(-STEPS // len(stream)), 1))
    stream = np.ascontiguousarray(stream[:STEPS])
    reference = Reference(work.spec, work.weights).run(features(work.spec, stream)[0])
    if not np.isfinite(reference).all():
        raise ConversionError("the reference's outputs are not finite on the test data; train the model again")
    return dataclasses.replace(work, stream=stream, reference=reference)
