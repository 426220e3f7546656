"""Each value of a tensor by its origin, as one whole number: a source, a step and a unit.

A source is the input x, a state, or a layer. An operator that only moves values, such as Reshape
or Slice, moves these numbers by its own rules. The result then says exactly which unit of which
layer each value is, in whatever layout, and packed states come apart by themselves.

Shared by the importers onnx, keras and tflite.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConversionError

Ids = NDArray[np.int64]
STEP = 24  # bits below the step
SOURCE = 40  # bits below the source
MAX_STEPS = 4096  # of a graph with a fixed length


def elements(source: int, steps: Any, units: Any) -> Ids:
    """steps, units: of whole numbers, that broadcast."""
    return np.asarray(
        (source << SOURCE) + (np.asarray(steps, np.int64) << STEP) + np.asarray(units, np.int64)
    )


def source_of(ids: Ids) -> Ids:
    found: Ids = np.right_shift(ids, SOURCE)
    return found


def unique_sources(ids: Ids) -> list[int]:
    found: list[int] = np.unique(source_of(ids)).tolist()
    return found


def step_of(ids: Ids) -> Ids:
    found: Ids = np.bitwise_and(ids >> STEP, 2 ** (SOURCE - STEP) - 1)
    return found


def unit_of(ids: Ids) -> Ids:
    found: Ids = np.bitwise_and(ids, 2**STEP - 1)
    return found


class ByStep(NamedTuple):
    """order: (P, R) the rows of each step. steps: (P,). pattern: (R, K) of step 0."""

    order: NDArray[np.int64]
    steps: Ids
    pattern: Ids


def by_step(rows: Ids) -> ByStep:
    """What rows (P R, K) hold, if it is the same at each step. Raises ConversionError."""
    if not rows.size:
        raise ConversionError("an empty tensor")
    steps = step_of(rows)
    present, counts = np.unique(steps[:, 0], return_counts=True)
    if (steps != steps[:, :1]).any() or (counts != counts[0]).any():
        raise ConversionError("it computes with several steps at once")
    order = np.argsort(steps[:, 0], kind="stable").reshape(len(present), -1)
    patterns = rows[order] - (present << STEP)[:, None, None]
    if (patterns != patterns[0]).any():
        raise ConversionError("it doesn't compute the same at each step")
    return ByStep(order, present, patterns[0])


def axis_of(ids: Ids, steps: int) -> int | None:
    """The axis of time. None if there is none, or not all steps."""
    for axis, size in enumerate(ids.shape):
        if size == steps:
            found = step_of(np.moveaxis(ids, axis, 0).reshape(steps, -1))
            if (found == np.arange(steps)[:, None]).all():
                return axis
    return None
