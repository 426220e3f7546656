"""Golden samples: sequences one after the other in one array.

They are cut here, made into features, and run through a backend. A streaming model has one
sequence. A bidirectional model may have several, because its answers depend on both ends of a
sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends.base import Backend
from ..backends.reference import reference
from ..model.bundle import Bundle
from ..model.spec import ModelSpec

Lengths = NDArray[np.int64]


class Samples(NamedTuple):
    """x: (steps, C) raw units. y: (steps, O) the reference's outputs. lengths: (sequences,), in all
    steps."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    lengths: Lengths


def sequences(samples: NDArray[Any], lengths: Lengths) -> list[NDArray[Any]]:
    """samples: (steps, ...), lengths: (sequences,), in all steps -> a view of each sequence."""
    return np.split(samples, np.cumsum(lengths)[:-1])


def golden_features(spec: ModelSpec, x: ArrayLike, lengths: Lengths) -> NDArray[np.float64]:
    """x: (steps, C) raw units -> (steps, F), each sequence from its start."""
    return np.concatenate([spec.features(part) for part in sequences(np.asarray(x), lengths)])


def run_sequences(backend: Backend, rows: NDArray[Any], lengths: Lengths) -> NDArray[Any]:
    """rows: (steps, F) features -> (steps, O), each sequence from the zero state."""
    answers = []
    for part in sequences(rows, lengths):
        backend.reset()
        answers.append(backend.run(part))
    return np.concatenate(answers)


def answered(bundle: Bundle, recordings: Sequence[ArrayLike]) -> Samples:
    """Other samples than the golden ones, answered by the float64 reference here.

    recordings: (T, C) each, raw units, each from the zero state.
    """
    x = np.concatenate([np.asarray(recording, np.float64) for recording in recordings])
    lengths = np.array([len(np.asarray(recording)) for recording in recordings])
    rows = golden_features(bundle.spec, x, lengths)
    return Samples(x, run_sequences(reference(bundle.spec, bundle.weights), rows, lengths), lengths)


def first(bundle: Bundle, steps: int | None) -> Samples:
    """The first `steps` golden samples, or all if `steps` is None.

    For a bidirectional model, these are the whole sequences that reach `steps`.
    """
    x, y = bundle.golden
    lengths = bundle.lengths
    if steps is None or steps >= len(x):
        return Samples(x, y, lengths)
    whole = bundle.spec.whole
    lengths = (
        lengths[: np.searchsorted(np.cumsum(lengths), steps) + 1] if whole else np.array([steps])
    )
    total = int(lengths.sum())
    return Samples(x[:total], y[:total], lengths)
