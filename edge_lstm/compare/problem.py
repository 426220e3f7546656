"""What a fitted forecast should answer, and how its answers are measured."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from edge_lstm_runtime.inputs import from_scale

from ..data.recordings import Float64, Sequence
from ..data.windows import future, last_values, on_scale
from .lags import Seen, seen
from .rows import Case

MAX_COLUMNS = 1500
MAX_WORK = 1e11  # multiplications of one sum of products: some seconds


class Problem:
    """The steps of the splits, and what to answer at each.

    There is one forecast for each target and step ahead, O in all. A model with quantiles is given
    it as each of them. A target on a logarithmic scale is learned on that scale. Truths and answers
    are normalized, by their mean and deviation in training.

    relative    whether the change from the value now is learned
    train, val  of each sequence what is seen, and (T, O) the truth, NaN if it is unknown
    """

    def __init__(self, case: Case, *, relative: bool = False):
        self.case = case
        self._relative = relative
        self._points = case.spec.answer.points
        truth = np.concatenate([self._difference(s) for s in case.splits.train])
        self.centre = np.nanmean(truth, axis=0)
        spread = np.nanstd(truth, axis=0)
        self.spread = np.where(spread > 0, spread, 1.0)
        self.train = self._read(case.splits.train)
        self.val = self._read(case.splits.val)

    def base(self, sequence: Sequence) -> Float64:
        """(T, O) on their scale, known at each step: to it the answer is added."""
        last = last_values(self.case.spec, sequence.x)
        if not self._relative:
            return np.zeros_like(last[:, self._points])
        return on_scale(self.case.spec, last)[:, self._points]

    @functools.cached_property
    def test(self) -> list[Seen]:
        return [seen(self.case.spec, s) for s in self.case.splits.test]

    def measured(self, found: Many[Float64]) -> dict[str, Any]:
        """The metrics of normalized answers. found: for each test sequence (T, O)."""
        spec = self.case.spec
        scaling = spec.answer.scaling(spec.inputs)
        answers = []
        for answer, sequence in zip(found, self.case.splits.test, strict=True):
            single = self.base(sequence) + self.centre + self.spread * answer
            several = np.repeat(single, spec.answer.levels, axis=1)
            if scaling.units is not None:
                several = np.where(scaling.units > 0, from_scale(several, scaling.units), several)
            if scaling.low is not None or scaling.high is not None:
                several = np.clip(several, scaling.low, scaling.high)
            answers.append(several)
        return self.case.measure(answers)

    def _difference(self, sequence: Sequence) -> Float64:
        spec = self.case.spec
        truth = on_scale(spec, future(spec, sequence.x))[:, self._points]
        return truth - self.base(sequence)

    def _read(self, sequences: Many[Sequence]) -> list[tuple[Seen, Float64]]:
        return [
            (seen(self.case.spec, s), (self._difference(s) - self.centre) / self.spread)
            for s in sequences
        ]

    def most_columns(self) -> int:
        """The most columns with which a fit takes no more than some seconds."""
        rows = sum(len(y) for _, y in self.train)
        return min(MAX_COLUMNS, math.isqrt(int(MAX_WORK / rows)))
