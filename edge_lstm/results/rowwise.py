"""Models of a class at every step that know the row of that step alone.

A recurrent net that doesn't beat them has learned nothing from the past.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence as Many
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Float64, Sequence

Labels = NDArray[np.int64]


class RowModel(Protocol):
    """words: the model, in a sentence. parameters: learned numbers that an answer needs.

    facts: those that `words` tells.
    """

    @property
    def words(self) -> str: ...

    @property
    def facts(self) -> dict[str, Any]: ...

    @property
    def parameters(self) -> int: ...

    def __call__(self, sequence: Sequence) -> Labels:
        """(T,) the class at each step."""


@dataclasses.dataclass(frozen=True)
class Majority:
    """The class that most steps of the training split have."""

    answer: int
    name: str
    parameters = 1

    @property
    def words(self) -> str:
        return f"the most frequent class ({self.name})"

    @property
    def facts(self) -> dict[str, Any]:
        return {"class": self.name}

    def __call__(self, sequence: Sequence) -> Labels:
        return np.full(len(sequence.x), self.answer)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A class for values of one channel up to a limit, another one for those above.

    limit: raw units. below, above: the classes. right: the share of the training steps.
    """

    channel: str
    index: int
    limit: float
    below: int
    above: int
    right: float
    parameters = 3

    @property
    def words(self) -> str:
        return f"a threshold on {self.channel} alone ({self.limit:.4g})"

    @property
    def facts(self) -> dict[str, Any]:
        return {"channel": self.channel, "limit": self.limit}

    def __call__(self, sequence: Sequence) -> Labels:
        low = _filled(sequence.x[:, self.index]) <= self.limit
        return np.where(low, self.below, self.above)


@dataclasses.dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression on the features of the row."""

    spec: ModelSpec
    model: Any
    words = "logistic regression on the row"

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    @property
    def parameters(self) -> int:
        return int(self.model.coef_.size + self.model.intercept_.size)

    def __call__(self, sequence: Sequence) -> Labels:
        found: Labels = self.model.predict(self.spec.inputs.features(sequence.x)[0])
        return found


def fit_majority(spec: ModelSpec, train: Many[Sequence]) -> Majority:
    truth = _truth(train)
    most = int(np.bincount(truth[truth >= 0]).argmax())
    return Majority(most, spec.answer.classes[most])


def fit_threshold(spec: ModelSpec, train: Many[Sequence]) -> Threshold | None:
    """The limit of one channel with the most right answers, of all there are.

    None if every channel is constant.
    """
    truth = _truth(train)
    known = truth >= 0
    values = np.concatenate([np.stack([_filled(c) for c in s.x.T], axis=1) for s in train])[known]
    channels = spec.inputs.names
    each = [_stump(values[:, k], truth[known], k, name) for k, name in enumerate(channels)]
    found = [stump for stump in each if stump is not None]
    return max(found, key=lambda stump: stump.right) if found else None


def _stump(values: Float64, truth: Labels, index: int, channel: str) -> Threshold | None:
    order = np.argsort(values, kind="stable")
    sorted_values = values[order]
    below = np.cumsum(truth[order, None] == np.arange(truth.max() + 1), axis=0)
    above = below[-1] - below
    right = below.max(axis=1) + above.max(axis=1)
    (borders,) = np.nonzero(sorted_values[1:] > sorted_values[:-1])
    if not len(borders):
        return None
    best = int(borders[right[borders].argmax()])
    low, high = sorted_values[best : best + 2].tolist()
    limit = low + (high - low) / 2
    return Threshold(
        channel,
        index,
        limit if limit < high else low,
        int(below[best].argmax()),
        int(above[best].argmax()),
        float(right[best] / len(truth)),
    )


def fit_logistic(spec: ModelSpec, train: Many[Sequence]) -> Logistic:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    truth = _truth(train)
    known = truth >= 0
    features = np.concatenate([spec.inputs.features(s.x)[0] for s in train])[known]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Logistic(spec, LogisticRegression(max_iter=1000).fit(features, truth[known]))


FITS = {"majority": fit_majority, "threshold": fit_threshold, "logistic": fit_logistic}


def _truth(train: Many[Sequence]) -> Labels:
    return np.concatenate([s.labels for s in train if s.labels is not None])


def _filled(values: Float64) -> Float64:
    """(T,) with the last value for a missing one, NaN before the first."""
    last: Labels = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    filled: Float64 = values[last]
    return filled
