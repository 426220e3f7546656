"""The grades of a model in fewer bits, as docs/backends.md has them ("What the verdict rests on").

A model that is certainly wrong gets none: it is left out (`judgement.why_wrong`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from edge_lstm_runtime.verify.check import NOT_USABLE

from . import tolerances

GOOD = "good"
USABLE = "usable, not good"
POOR = NOT_USABLE


@dataclasses.dataclass(frozen=True)
class Limits:
    """The most that a grade allows.

    nrmse: of each pass through the test split. part: of the worst recording and the worst output.
    metric: by how many percent, or points of a share, a metric of the task may be worse, as it is
    printed. better: the same for one that is better by chance.
    """

    nrmse: float
    part: float
    metric: float
    better: float = math.inf

    def hold(self, nrmse: float, part: float, worse: Sequence[float]) -> bool:
        """nrmse, part: the largest of each. worse: see `Task.worse`."""
        moved = all(-self.better <= round(w, 1) <= self.metric for w in worse)
        return nrmse <= self.nrmse and part <= self.part and moved


def limits(grade: str, scheme: str) -> Limits:
    """Of GOOD and of USABLE. Beyond these a model is POOR."""
    one = tolerances.good(scheme)
    return Limits(one, one, 1.0, 1.0) if grade == GOOD else Limits(5 * one, 20 * one, 5.0)


def grade(scheme: str, nrmse: float, part: float, worse: Sequence[float]) -> str:
    """See `Limits.hold`."""
    for name in (GOOD, USABLE):
        if limits(name, scheme).hold(nrmse, part, worse):
            return name
    return POOR


def words(name: str, scheme: str, *, metric: bool = True) -> str:
    """The limits that a grade is read by: for POOR those that it missed.

    metric: whether the task's metric is one of them.
    """
    if name == POOR:
        most = limits(USABLE, scheme)
        own = f"an NRMSE of at most {most.nrmse:g} ({most.part:g} on a recording or an output)"
        worse = f" and a metric at most {most.metric:g} % or points worse"
        return f"usable is {own}{worse if metric else ''}"
    most = limits(GOOD, scheme)
    moved = f" and a metric that moves by at most {most.metric:g} % or point"
    return f"good is at most {most.nrmse:g} everywhere{moved if metric else ''}"
