"""DLinear of Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?".

The window of a target's last values is divided in its moving average and the rest, and the answer
is linear in both. There are weights for each target. As in `nlinear` they are in closed form. Both
parts are linear in the window, so without the penalty this is a linear regression on the window.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ..data.recordings import Float64
from . import least_squares
from .lags import Rows, Seen, candidates, lagged
from .nlinear import WINDOWS
from .problem import Problem
from .rows import Case, Row

AVERAGED = 25  # steps, as in the paper


@functools.cache
def moving_average(steps: int) -> Float64:
    """(steps, steps): a window @ this is its moving average.

    The first and the last value stand for those before and after the window, as in the paper.
    """
    half = AVERAGED // 2
    places = np.arange(steps)[:, None] + np.arange(-half, half + 1)
    found = np.zeros((steps, steps))
    np.add.at(found, (np.clip(places, 0, steps - 1), np.arange(steps)[:, None]), 1 / AVERAGED)
    return found


@dataclasses.dataclass(frozen=True)
class Window:
    """The last values of one target, as the moving average and the rest."""

    target: int
    steps: int

    def __call__(self, given: Seen, rows: Rows) -> Float64:
        window = lagged(given.targets[:, self.target], rows, np.arange(self.steps))
        average = window @ moving_average(self.steps)
        return np.concatenate([window - average, average], axis=1)

    def __str__(self) -> str:
        return f"a window of {self.steps}"


def dlinear(case: Case) -> Row:
    problem = Problem(case)
    targets = len(case.spec.answer.targets)
    steps = candidates(WINDOWS, case, 2, problem.most_columns())
    asked = [
        (range(j, len(problem.centre), targets), [Window(j, n) for n in steps])
        for j in range(targets)
    ]
    note = "by validation, for each target alone, in closed form"
    return least_squares.row("dlinear", "DLinear", problem, asked, note)
