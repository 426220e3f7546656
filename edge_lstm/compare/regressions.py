"""The models that a regression has to beat.

They are the mean of the training split, and a linear regression on the sample now, which remembers
nothing.
"""

from __future__ import annotations

import time

import numpy as np

from .rows import Case, Row, microseconds

# Of the squared coefficients of normalized features. It is enough if two of them say the same.
PENALTY = 1.0


def mean(case: Case) -> Row:
    """The answers' offset is the mean of the training split's targets."""
    answer = np.asarray(case.spec.answer.offset)
    found = [np.tile(answer, (len(s.x), 1)) for s in case.splits.test]
    return Row("mean", "training mean", case.measure(found), len(answer), None, "", 0.0)


def linear(case: Case) -> Row:
    from sklearn.linear_model import Ridge

    x = np.concatenate([case.spec.inputs.features(s.x)[0] for s in case.learned])
    y = np.concatenate([s.y for s in case.learned if s.y is not None])
    known = np.isfinite(y).all(axis=1)
    began = time.perf_counter()
    model = Ridge(alpha=PENALTY).fit(x[known], y[known])
    seconds = time.perf_counter() - began
    W = np.atleast_2d(model.coef_).T
    b = np.atleast_1d(model.intercept_)
    found = [case.spec.inputs.features(s.x)[0] @ W + b for s in case.splits.test]
    row = case.spec.inputs.features(case.splits.test[0].x)[0][0]
    duration = microseconds(lambda: row @ W + b)
    return Row(
        "linear",
        "linear regression",
        case.measure(found),
        W.size + b.size,
        duration,
        "NumPy, single step",
        seconds,
        "on the sample now",
    )
