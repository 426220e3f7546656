"""Linear models that tell in a second which channels are worth their place.

A channel that is higher on one day than on another makes a small net worse on the days to come. So
the channels are added one after the other to a linear model of the row, as long as it gets better
on the validation split, which is later than the training. If the few channels that this takes tell
the class by themselves, the others are left out. If the class is not in the row but in what came
before, a linear model tells little, and all channels stay.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Float64, Sequence, Splits
from ..tasks.base import task_of

ROWS = 20_000  # of a split, that are looked at
STEP = 0.005  # of the accuracy, for which a channel is worth its place
TOLD = 0.9  # by a few channels: the others can then only do harm
RIDGE = 1e-3


class Chosen(NamedTuple):
    """score: the mean over the classes of the share that is right, on validation. whole: with all
    channels."""

    channels: tuple[int, ...]
    score: float
    whole: float


def choose(train: Many[Sequence], val: Many[Sequence], classes: int) -> Chosen | None:
    """None if all channels stay."""
    x, y = _rows(train)
    other, truth = _rows(val)
    if x.shape[1] < 2 or len(np.unique(truth)) < 2 or len(np.unique(y)) < classes:
        return None
    known = np.maximum((~np.isnan(x)).sum(axis=0), 1)
    mean = np.nansum(x, axis=0) / known
    deviation = np.sqrt(np.nansum((x - mean) ** 2, axis=0) / known)
    deviation[deviation == 0] = 1
    x, other = (np.nan_to_num((values - mean) / deviation) for values in (x, other))

    def score(names: list[int]) -> float:
        return _score(x[:, names], y, other[:, names], truth, classes)

    whole = score([*range(x.shape[1])])
    found: list[int] = []
    best = 0.0
    while len(found) < x.shape[1]:
        each = {k: score([*found, k]) for k in range(x.shape[1]) if k not in found}
        first = max(each, key=lambda k: each[k])
        if each[first] < best + STEP:
            break
        best = each[first]
        found.append(first)
    told = best >= TOLD and best >= whole - STEP
    return Chosen(tuple(sorted(found)), best, whole) if told and len(found) < x.shape[1] else None


def _rows(sequences: Many[Sequence]) -> tuple[Float64, NDArray[np.int64]]:
    """Rows with a label, and their classes."""
    x = np.concatenate([s.x for s in sequences])
    y = np.concatenate([s.labels for s in sequences if s.labels is not None])
    x, y = x[y >= 0], y[y >= 0]
    every = -(-len(y) // ROWS) or 1
    return x[::every], y[::every]


def _score(
    x: Float64, y: NDArray[np.int64], other: Float64, truth: NDArray[np.int64], classes: int
) -> float:
    """Of least squares to 0 and 1, each class of the same weight."""
    wanted = np.eye(classes)[y]
    weights = (len(y) / (classes * wanted.sum(axis=0)))[y][:, None]
    inputs = np.hstack([x, np.ones((len(x), 1))])
    products = inputs.T @ (weights * inputs) + RIDGE * len(x) * np.eye(inputs.shape[1])
    found = np.linalg.solve(products, inputs.T @ (weights * wanted))
    told = (np.hstack([other, np.ones((len(other), 1))]) @ found).argmax(axis=1)
    return float(np.mean([(told[truth == c] == c).mean() for c in np.unique(truth)]))


def linear_error(spec: ModelSpec, splits: Splits) -> float | None:
    """The mean absolute error of ridge regression on validation, of the network's outputs.

    None if no step of a split is known.
    """
    task = task_of(spec)
    read = []
    for part in (splits.train, splits.val):
        x = np.concatenate([spec.inputs.features(s.x)[0] for s in part])
        both = [task.targets(spec, s) for s in part]
        y = np.concatenate([wanted for wanted, _ in both])
        known = np.concatenate([known for _, known in both])
        x, y = np.hstack([x, np.ones((len(x), 1))])[known], y[known]
        every = -(-len(y) // ROWS) or 1
        read.append((x[::every], y[::every]))
    (x, y), (other, truth) = read
    if not len(x) or not len(other):
        return None
    found = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    return float(np.abs(other @ found - truth).mean())
