"""Gradient boosting of regression trees, scikit-learn's: a model for each target and step ahead."""

from __future__ import annotations

import time
from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from ..data.recordings import Float64
from .lags import Lags, Seen, seasonal_lags
from .problem import Problem
from .rows import Case, Row

NAME = "boosting"
TITLE = "gradient boosting"
MAX_MODELS = 24  # some seconds each
MAX_ROWS = 50_000
STEPS = 24  # lags of the targets
OTHERS = 4  # lags of all channels
MAX_TREES = 500
PATIENCE = 20  # trees without a lower error on the validation split


def boosting(case: Case) -> Row:
    """Trees are added until the error on the validation split doesn't fall any more."""
    answer = case.spec.answer
    problem = Problem(case)
    models = len(problem.centre)
    if models > MAX_MODELS:
        note = f"skipped: {models} targets and steps ahead, a model each (at most {MAX_MODELS})"
        return Row(NAME, TITLE, None, note=note)
    season = case.config.data.season
    given = problem.train[0][0]
    found = [np.empty((len(s.values), models)) for s in problem.test]
    targets = len(answer.targets)
    seconds = asking = 0.0
    numbers = trees = 0
    for output in range(models):
        ahead = answer.ahead[output // targets]
        case.reporter.line(f"{TITLE}: {answer.targets[output % targets]}+{ahead}")
        more = set(range(OTHERS, STEPS))
        more |= set() if season is None else set(seasonal_lags(season, (ahead,)))
        design = Lags(OTHERS, tuple(sorted(more)), features=True)
        began = time.perf_counter()
        model = _fitted(problem, design, output)
        seconds += time.perf_counter() - began
        began = time.perf_counter()
        for made, test in zip(found, problem.test, strict=True):
            made[:, output] = model.predict(design(test, np.arange(len(made))))
        asking += time.perf_counter() - began
        trees += model.n_iter_
        # Of every split a column and a threshold, of every leaf a value.
        leaves = [tree.get_n_leaf_nodes() for trees in model._predictors for tree in trees]
        numbers += sum(3 * n - 2 for n in leaves)
    duration = 1e6 * asking / sum(len(s.values) for s in problem.test)
    before = "" if season is None else f", lags {season} and {7 * season} steps before"
    lags = f"{OTHERS} lags of all channels, {STEPS} of the targets"
    note = (
        f"{trees / models:.0f} trees for each output, by validation; {lags}{before} and "
        f"the {given.features.shape[1]} features"
    )
    return Row(
        NAME,
        TITLE,
        problem.measured(found),
        numbers,
        duration,
        "scikit-learn, whole sequence",
        seconds,
        note,
    )


def _fitted(problem: Problem, design: Lags, output: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    from ..threads import one  # imports torch

    # Quantiles learn the median, whose error is absolute.
    loss = "absolute_error" if problem.case.spec.answer.levels > 1 else "squared_error"

    x, y = _rows(problem.train, design, output)
    val_x, val_y = _rows(problem.val, design, output)
    options = {"loss": loss, "random_state": 0}
    model = HistGradientBoostingRegressor(
        max_iter=MAX_TREES,
        early_stopping=True,
        n_iter_no_change=PATIENCE,
        scoring="loss",
        **options,
    )
    with one():
        model.fit(x, y, X_val=val_x, y_val=val_y)
        if problem.case.config.train.refit:
            whole = HistGradientBoostingRegressor(
                max_iter=model.n_iter_, early_stopping=False, **options
            )
            model = whole.fit(np.concatenate([x, val_x]), np.concatenate([y, val_y]))
    return model


def _rows(read: Many[tuple[Seen, Float64]], design: Lags, output: int) -> tuple[Float64, Float64]:
    """The columns and the truth of the last MAX_ROWS rows at which it is known."""
    x = []
    y = []
    for given, wanted in read:
        rows = np.flatnonzero(np.isfinite(wanted[:, output]))[-MAX_ROWS:]
        x.append(design(given, rows))
        y.append(wanted[rows, output])
    return np.concatenate(x)[-MAX_ROWS:], np.concatenate(y)[-MAX_ROWS:]
