"""How much each setting mattered for the metric."""

from __future__ import annotations

import warnings

import optuna
from optuna.study import Study
from optuna.trial import TrialState

from .plan import Plan


def importance(study: Study, plan: Plan) -> dict[str, float]:
    """By dimension, together 1, the most important first. {} if the trials don't tell it."""
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < 2:
        return {}
    sign = 1 if plan.higher else -1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials that are all alike
        try:
            shares = optuna.importance.get_param_importances(
                study, target=lambda t: -sign * t.values[0]
            )
        except (ValueError, RuntimeError):  # no dimension, or no difference
            return {}
    return shares if any(shares.values()) else {}
