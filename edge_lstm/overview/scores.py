"""The scores of simple models on the test split, those that take a second."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

from edge_lstm_runtime.errors import EdgeLstmError

from ..compare.rows import Case, Row
from ..results.metrics import titled
from ..tasks.base import task_of
from ..training.progress import Reporter
from .facts import Overview


class Score(NamedTuple):
    """figures: by the title of the metric, None if there is none. note: what else is to be said."""

    title: str
    figures: dict[str, float | None]
    note: str = ""


def scores(found: Overview) -> list[Score]:
    """Of the rows of `edge-lstm compare` that the task calls quick."""
    task = task_of(found.spec)
    case = Case(found.config, found.spec, found.splits, Path(), Reporter(quiet=True))
    made = []
    for name in task.quick:
        with warnings.catch_warnings(), contextlib.suppress(EdgeLstmError):
            warnings.simplefilter("ignore")  # a fit that has not converged is a score all the same
            row: Row = resolve_name(task.rivals[name])(case)
            if row.metrics is not None:
                figures = {
                    title: value
                    for title, value in titled(row.metrics, task.titles).items()
                    if value is not None
                }
                made.append(Score(row.title, dict(figures), row.note))
    return made
