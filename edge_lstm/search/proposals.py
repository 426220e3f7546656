"""Optuna's side of a space: its distributions, its sampler, its two objectives."""

from __future__ import annotations

import math
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import Trial

from .plan import Plan
from .rows import Row, fitting
from .space import Choice, Dimension, Space

RANDOM = 10  # proposals before the sampler learns, at most a quarter of the trials


def distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    return {dimension.name: distribution(dimension) for dimension in space.dimensions}


def suggest(trial: Trial, dimension: Dimension) -> Any:
    """The value that a trial gets."""
    name = dimension.name
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(name, dimension.values)
    log = dimension.log
    if dimension.whole:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=log)


def sampler(seed: int, trials: int) -> TPESampler:
    return TPESampler(seed=seed, n_startup_trials=max(1, min(RANDOM, trials // 4)))


def directions(plan: Plan) -> list[StudyDirection]:
    metric = StudyDirection.MAXIMIZE if plan.higher else StudyDirection.MINIMIZE
    return [metric, StudyDirection.MINIMIZE]


def objectives(plan: Plan, row: Row) -> tuple[float, float]:
    """The metric, and the logarithm of the budget's first quantity.

    Of the number formats that fit, the one with the best metric counts, and then the cheaper one.
    """
    sign = 1 if plan.higher else -1
    chief = plan.budget.chief
    whole = Row(**{**row.to_dict(), "stopped": ""})
    best = max(fitting([whole], plan.budget), key=lambda p: (sign * p.metric, -p.costs[chief]))
    return best.metric, math.log2(best.costs[chief])
