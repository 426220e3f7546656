"""Golden samples: sequences one after the other in one array.

They are cut here, made into features, and run through a backend. A streaming model has one
sequence. A bidirectional model may have several, because its answers depend on both ends of a
sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends.base import Backend
from ..model.bundle import Bundle
from ..model.spec import ModelSpec

Lengths = NDArray[np.int64]


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


def first(
    bundle: Bundle, steps: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], Lengths]:
    """x, y and lengths of the first `steps` golden samples, or of all if `steps` is None.

    For a bidirectional model, these are the whole sequences that reach `steps`.
    """
    x, y = bundle.golden
    lengths = bundle.lengths
    if steps is None or steps >= len(x):
        return x, y, lengths
    whole = bundle.spec.whole
    lengths = (
        lengths[: np.searchsorted(np.cumsum(lengths), steps) + 1] if whole else np.array([steps])
    )
    total = int(lengths.sum())
    return x[:total], y[:total], lengths
