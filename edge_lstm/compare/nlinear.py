"""NLinear of Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?".

Of the window of a target's last values the latest is subtracted, and added to the answer, which is
linear in the rest. There are weights for each target. They have the least squared error in closed
form in place of a trained one: a linear model has a single optimum. The penalty stands for the
paper's early stop.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..data.recordings import Float64
from . import least_squares
from .lags import Rows, Seen, candidates, lagged
from .problem import Problem
from .rows import Case, Row

WINDOWS = (12, 24, 48, 96, 192, 336)


@dataclasses.dataclass(frozen=True)
class Window:
    """The last values of one target, less the latest."""

    target: int
    steps: int

    def __call__(self, given: Seen, rows: Rows) -> Float64:
        window = lagged(given.targets[:, self.target], rows, np.arange(self.steps))
        return window[:, 1:] - window[:, :1]

    def __str__(self) -> str:
        return f"a window of {self.steps}"


def nlinear(case: Case) -> Row:
    problem = Problem(case, relative=True)
    targets = len(case.spec.answer.targets)
    steps = candidates(WINDOWS, case, 1, problem.most_columns())
    asked = [
        (range(j, len(problem.centre), targets), [Window(j, n) for n in steps])
        for j in range(targets)
    ]
    note = "by validation, for each target alone, in closed form"
    return least_squares.row("nlinear", "NLinear", problem, asked, note)
