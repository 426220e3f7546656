"""What an open size of the input is: the steps, or a batch. The file itself is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from edge_lstm_runtime.errors import ConversionError

from .. import Float32, Floats
from .._proof import SINGLE
from .fixed import Shapes, run, session, zeros

TIME = "time"
BATCH = "batch"
Sizes = Mapping[str, Sequence[int | None]]


@dataclasses.dataclass(frozen=True)
class Call:
    """One step of the file. shapes: x, then the states. pairs: of states. y: the first output."""

    x: str
    shapes: Shapes
    pairs: Mapping[str, str]
    y: str


def listed(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"{before} and {after}" for before, after in pairs.items())


def kinds_of(
    model: onnx.ModelProto,
    inputs: Sizes,
    step: Call,
    axes: Sequence[int],
    xs: Float32,
    right: Floats,
) -> list[str]:
    """What the open axes are. TIME: one call with all steps answers as the steps one by one.

    BATCH: each row answers as a first step. Raises ConversionError if it is neither: the states are
    not what they seem. An axis that the file does not run with has no entry.
    """
    kinds = []
    runtime = session(model)
    shape = step.shapes[step.x]
    states = zeros({name: step.shapes[name] for name in step.pairs if name in inputs})
    for axis in axes:
        rows = xs.reshape(len(xs), *shape)
        whole = np.ascontiguousarray(np.moveaxis(np.squeeze(rows, axis + 1), 0, axis))
        try:
            (y,) = run(runtime, [step.y], {step.x: whole, **states})
        except ConversionError:
            continue  # a batch, of which the states have another size
        where = [k for k, size in enumerate(y.shape) if size == len(xs)]
        if len(where) == 1 and y.size == right.size:
            found = np.moveaxis(y, where[0], 0).reshape(right.shape)
        elif y.size == right.shape[1]:  # the last step alone
            found = np.concatenate([right[:-1], y.reshape(1, -1)])
        else:
            continue
        limit = SINGLE * max(1.0, float(np.abs(right).max()))
        error = np.abs(found - right).max(axis=1)
        if (error <= limit).all():
            kinds.append(TIME)
            continue
        alone = _first_steps(runtime, step, rows[:8], states)
        if y.size == right.size and np.abs(found[:8] - alone).max() <= limit:
            kinds.append(BATCH)
        else:
            first = int(np.argmax(~(error <= limit)))
            raise ConversionError(
                f"one call of the file with {len(xs)} steps and its steps one by one differ by "
                f"{error[first]:.2g} at step {first}, at most {limit:.2g} is rounding: it reads "
                "other steps (a convolution over the steps?), or a state is missing or paired "
                f"wrongly; the pairs are {listed(step.pairs) or 'none'}"
            )
    return kinds


def _first_steps(runtime: Any, step: Call, rows: Float32, states: Mapping[str, Float32]) -> Floats:
    """(T, O), each from the zero state."""
    found = [run(runtime, [step.y], {step.x: row, **states})[0].ravel() for row in rows]
    return np.stack(found)
