"""The models that a net with a class at every step has to beat. They know the row alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.recordings import Sequence
from ..results import rowwise
from .rows import Case, Row, microseconds


def majority(case: Case) -> Row:
    return _row("majority", "most frequent class", rowwise.fit_majority, case)


def threshold(case: Case) -> Row:
    return _row("threshold", "threshold on one channel", rowwise.fit_threshold, case)


def logistic(case: Case) -> Row:
    return _row("logistic", "logistic regression on the row", rowwise.fit_logistic, case)


def _row(name: str, title: str, fit: Callable[..., rowwise.RowModel | None], case: Case) -> Row:
    began = time.perf_counter()
    model = fit(case.spec, case.learned)
    seconds = time.perf_counter() - began
    if model is None:
        return Row(name, title, None, note="skipped: every channel is constant")
    test = case.splits.test
    classes = np.eye(case.spec.answer.size)
    metrics: dict[str, Any] = case.measure([classes[model(s)] for s in test])
    first = Sequence(test[0].name, test[0].group, test[0].x[:1])
    duration = microseconds(lambda: model(first))
    measured = "NumPy and scikit-learn" if name == "logistic" else "NumPy"
    return Row(
        name,
        title,
        metrics,
        model.parameters,
        duration,
        f"{measured}, single steps",
        seconds,
        model.words,
    )
