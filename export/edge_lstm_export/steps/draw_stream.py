"""Step 1: the golden stream: real test samples, one recording after the other, and the reference's outputs for them.

The state is carried over the recordings' borders, so that a thousand steps really are carried. They are more where a chunk needs them to
run twice, so that its own state comes back to it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm import Sequence
from edge_lstm_runtime import ConversionError, Reference
from edge_lstm_runtime.processing import features

from ..work import Float64, Work

STEPS = 1000


def shuffled(recordings: list[Sequence]) -> list[Sequence]:
    """In an order that is always the same and not the file's, which is often sorted by class."""
    return [recordings[n] for n in np.random.default_rng(0).permutation(len(recordings))]


def golden_stream(test: list[Sequence], steps: int = STEPS) -> Float64:
    """(steps, C) raw units: the test recordings one after the other, and from the start again where they are too few."""
    stream = np.concatenate([s.x for s in shuffled(test)])
    if len(stream) < steps:
        stream = np.tile(stream, (-(-steps // len(stream)), 1))
    return np.ascontiguousarray(stream[:steps])


def call(work: Work) -> Work:
    stream = golden_stream(work.run.splits.test, max(STEPS, 2 * (work.chunk or 1)))
    reference = Reference(work.spec, work.weights).run(features(work.spec, stream)[0])
    if not np.isfinite(reference).all():
        raise ConversionError("the reference's outputs are not finite on the test data; train the model again")
    return dataclasses.replace(work, stream=stream, reference=reference)
