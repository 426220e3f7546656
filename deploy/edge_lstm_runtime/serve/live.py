"""What the live page shows: the latest samples and answers of each stream.

Nothing is kept while nobody looks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from .stream import Work

if TYPE_CHECKING:
    from .models import ServedModel

MOST_VIEWERS = 8
POINTS = 50  # of a stream that are sent together
STREAMS = 32  # that are shown
TICK = 0.1  # seconds between two events


class Live:
    """viewers: the open pages, each with what it has not seen yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._viewers: list[dict[tuple[str, str], deque[dict[str, Any]]]] = []

    def enter(self) -> dict[tuple[str, str], deque[dict[str, Any]]] | None:
        """A place for one page, None if there are too many."""
        with self._lock:
            if len(self._viewers) >= MOST_VIEWERS:
                return None
            viewer: dict[tuple[str, str], deque[dict[str, Any]]] = {}
            self._viewers.append(viewer)
            return viewer

    def leave(self, viewer: dict[tuple[str, str], deque[dict[str, Any]]]) -> None:
        with self._lock:
            self._viewers = [other for other in self._viewers if other is not viewer]

    def take(self, viewer: dict[tuple[str, str], deque[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The points that the page has not seen."""
        with self._lock:
            found = [point for points in viewer.values() for point in points]
            viewer.clear()
        return found

    def show(self, model: ServedModel, stream: str, work: Work, step: float) -> None:
        """By the worker, after each answer. step: seconds of a sample."""
        if not self._viewers or not len(work.xs):
            return
        points = points_of(model, stream, work, step)
        with self._lock:
            for viewer in self._viewers:
                key = model.name, stream
                if key in viewer or len(viewer) < STREAMS:
                    viewer.setdefault(key, deque(maxlen=POINTS)).extend(points)


def points_of(model: ServedModel, stream: str, work: Work, step: float) -> list[dict[str, Any]]:
    """The last POINTS samples of the work."""
    answer = model.served.model.spec.answer
    now = round(time.time(), 3)
    found = []
    for row in range(max(0, len(work.xs) - POINTS), len(work.xs)):
        outputs = work.outputs[row]
        point = {
            "model": model.name,
            "stream": stream,
            "time": now,
            "x": [None if np.isnan(v) else v for v in work.xs[row].tolist()],
            "y": outputs.tolist(),
            "step": step,
        }
        if answer.logits:
            point["label"] = answer.names[int(outputs.argmax())]
        if work.scores:
            score = work.scores[row]
            point["score"] = None if np.isnan(score) else score
        found.append(point)
    found[-1]["samples"] = model.counts.samples
    found[-1]["refused"] = sum(model.counts.refused.values())
    return found
