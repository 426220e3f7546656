"""Metrics of a class at every step: of steps, and of events.

An event is a run of steps of one class, as long as it can be. An answered event hits a true one of
its class if it begins at most `tolerance` steps before or after it. Each is hit once. These are
the event-based metrics of Mesaros et al. 2016 ("Metrics for polyphonic sound event detection"),
with the onset alone. Steps without a label are left out, and end an event of truth and answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .confusion import accuracy, counted, macro_f1

Classes = NDArray[np.int64]  # (T,) an index at each step, -1 if the truth is unknown


def measure(
    names: Sequence[str], truths: Sequence[Classes], told: Sequence[Classes], tolerance: int
) -> dict[str, Any]:
    """accuracy, macro_f1, event_f1, per_class and confusion, whose rows are the truth.

    truths, told: of each recording. The mean of macro_f1 is over the classes in truth or answer.
    event_f1 is over the events of all classes together. A figure without a step or an event that
    it could be of is None.
    """
    size = len(names)
    confusion = np.zeros((size, size), np.int64)
    events = np.zeros((3, size), np.int64)  # hits, true, answered
    for truth, answer in zip(truths, told, strict=True):
        known = truth >= 0
        confusion += counted(truth[known], answer[known], size)
        events += _events(truth, np.where(known, answer, -1), size, tolerance)
    right = confusion.diagonal()
    answered, true = confusion.sum(axis=0), confusion.sum(axis=1)
    f1 = [_ratio(2 * r, a + t) for r, a, t in zip(right, answered, true, strict=True)]
    hits, real, said = events.sum(axis=1)
    return {
        "accuracy": accuracy(confusion),
        "macro_f1": macro_f1(confusion),
        "event_f1": _ratio(2 * hits, real + said),
        "per_class": {
            name: {
                "precision": _ratio(right[k], answered[k]),
                "recall": _ratio(right[k], true[k]),
                "f1": f1[k],
                "support": int(true[k]),
                "event_f1": _ratio(2 * events[0, k], events[1, k] + events[2, k]),
                "events": int(events[1, k]),
            }
            for k, name in enumerate(names)
        },
        "confusion": confusion.tolist(),
        "steps": int(true.sum()),
    }


def runs(classes: Classes) -> list[tuple[int, int, int]]:
    """(class, first step, step after the last) of each run, those of -1 left out."""
    borders = np.flatnonzero(np.diff(classes)) + 1
    starts = [0, *borders.tolist()]
    stops = [*borders.tolist(), len(classes)]
    found = zip(classes[starts].tolist(), starts, stops, strict=True)
    return [run for run in found if run[0] >= 0]


def _events(truth: Classes, told: Classes, size: int, tolerance: int) -> NDArray[np.int64]:
    """(3, classes): the hits, the true events and the answered ones."""
    found = np.zeros((3, size), np.int64)
    true = runs(truth)
    answered = runs(told)
    for k in range(size):
        begins = [start for of, start, _ in true if of == k]
        said = [start for of, start, _ in answered if of == k]
        found[:, k] = _hits(begins, said, tolerance), len(begins), len(said)
    return found


def _hits(true: list[int], told: list[int], tolerance: int) -> int:
    """The most pairs of a beginning of each. The earliest that fits is the best choice."""
    hits = 0
    waiting = iter(told)
    one = next(waiting, None)
    for begin in true:
        while one is not None and one < begin - tolerance:
            one = next(waiting, None)
        if one is not None and one <= begin + tolerance:
            hits += 1
            one = next(waiting, None)
    return hits


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
