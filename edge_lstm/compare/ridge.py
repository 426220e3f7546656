"""Ridge regression on the values of all channels at the last steps."""

from __future__ import annotations

from . import least_squares
from .lags import Lags, candidates, seasonal_lags
from .problem import Problem
from .rows import Case, Row

STEPS = (1, 2, 4, 8, 16, 32, 64, 128)


def ridge(case: Case) -> Row:
    problem = Problem(case)
    width = problem.train[0][0].values.shape[1]
    steps = candidates(STEPS, case, width, problem.most_columns())
    asked = [(range(len(problem.centre)), [Lags(n) for n in steps])]
    return least_squares.row("ridge", "ridge", problem, asked, "of all channels, by validation")


def seasonal(case: Case) -> Row:
    """With the lags of a season and of seven, and with the features that the LSTM reads."""
    name = "ridge-seasonal"
    title = "ridge, seasonal"
    problem = Problem(case)
    season = case.config.data.season
    given = problem.train[0][0]
    if season is None and given.features.shape[1] == given.values.shape[1]:
        note = "skipped: no `season` in [data], and no features but the channels"
        return Row(name, title, None, note=note)
    lags = () if season is None else seasonal_lags(season, case.spec.answer.ahead)
    own = len(lags) * given.targets.shape[1] + given.features.shape[1]
    width = given.values.shape[1]
    most = problem.most_columns()
    if own + width > most:
        note = f"skipped: {own + width:,} columns, and more than {most:,} would take too long"
        return Row(name, title, None, note=note)
    steps = candidates(STEPS, case, width, most - own)
    asked = [(range(len(problem.centre)), [Lags(n, lags, features=True) for n in steps])]
    before = "" if season is None else f"lags {season} and {7 * season} steps before, and "
    note = f"of all channels, by validation; {before}the {given.features.shape[1]} features"
    return least_squares.row(name, title, problem, asked, note)
