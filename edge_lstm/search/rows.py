"""What trials found, which of it is worth a look, and which net is chosen."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .budget import Budget
from .space import Values


@dataclasses.dataclass(frozen=True)
class Row:
    """A trial that was trained.

    number   of its folder
    metrics  number format -> the validation metric of each draw
    costs    number format -> quantity -> how much
    curve    the best value of `monitor` until each epoch of the first draw, higher is better
    stopped  why it was not trained to its end, "" if it was
    epochs   of all draws
    """

    number: int
    values: Values
    metrics: Mapping[str, Sequence[float]]
    costs: Mapping[str, Mapping[str, float]]
    curve: Sequence[float]
    stopped: str
    epochs: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Point:
    """A trial's net in one number format."""

    row: Row
    number_format: str

    @property
    def draws(self) -> Sequence[float]:
        return self.row.metrics[self.number_format]

    @property
    def metric(self) -> float:
        return statistics.mean(self.draws)

    @property
    def error(self) -> float:
        """The standard error of the mean over the draws, 0 of one draw."""
        several = len(self.draws) > 1
        return statistics.stdev(self.draws) / math.sqrt(len(self.draws)) if several else 0.0

    @property
    def costs(self) -> Mapping[str, float]:
        return self.row.costs[self.number_format]


def points(rows: Iterable[Row]) -> list[Point]:
    return [Point(row, f) for row in rows for f in row.metrics]


def fitting(rows: Iterable[Row], budget: Budget) -> list[Point]:
    """Those that may be chosen: within the budget, and trained to their end."""
    whole = points(row for row in rows if not row.stopped)
    return [point for point in whole if budget.fits(point.costs)]


def pareto(found: Sequence[Point], quantity: str, *, higher: bool) -> list[Point]:
    """Those that no other one beats: none is as cheap and as good, and better in one of the two.

    The cheapest first. higher: whether a higher metric is better.
    """
    sign = 1 if higher else -1
    best = -math.inf
    front = []
    for point in sorted(found, key=lambda p: (p.costs[quantity], -sign * p.metric, p.row.number)):
        if sign * point.metric > best:
            best = sign * point.metric
            front.append(point)
    return front


def best_of(found: Sequence[Point], quantity: str, *, higher: bool) -> Point:
    """The best metric. Of equals the cheapest, and then the earliest."""
    sign = 1 if higher else -1
    return max(found, key=lambda p: (sign * p.metric, -p.costs[quantity], -p.row.number))


def choose(found: Sequence[Point], quantity: str, *, higher: bool) -> Point:
    """The cheapest one whose metric is within a standard error of the best one's.

    The error is the best one's (the rule of Breiman et al., 1984, for trees). Of two that cost the
    same, the better one, and then the earlier one.
    """
    sign = 1 if higher else -1
    best = best_of(found, quantity, higher=higher)
    least = sign * best.metric - best.error
    near = [p for p in found if sign * p.metric >= least]
    return min(near, key=lambda p: (p.costs[quantity], -sign * p.metric, p.row.number))


def peers(rows: Iterable[Row], costs: Mapping[str, Mapping[str, float]], chief: str) -> list[Row]:
    """The trials that cost no more than a net of these costs."""
    most = _least(costs, chief)
    return [row for row in rows if _least(row.costs, chief) <= most]


def _least(costs: Mapping[str, Mapping[str, float]], chief: str) -> float:
    return min(cost[chief] for cost in costs.values())


FEWEST = 4  # peers, for a median that says something
SHARE = 0.3  # of the epochs that each trial gets
BEATEN = "worse than the median"


def stops(curve: Sequence[float], others: Sequence[Row], epochs: int) -> str:
    """Why a training ends after this epoch, "" if it goes on.

    The median rule: its best value so far is worse than the median of its peers' best values until
    the same epoch. So a small net is not measured against large ones.

    curve: its best value until each epoch. epochs: of a whole training.
    """
    epoch = len(curve)
    if len(others) < FEWEST or epoch < SHARE * epochs:
        return ""
    median = statistics.median(row.curve[min(epoch, len(row.curve)) - 1] for row in others)
    if curve[-1] >= median:
        return ""
    return f"{BEATEN} of {len(others)} trials that cost no more"


def stopped_by(ended: str) -> str:
    """Why `stops` ended a training, "" if it did not. ended: why the training ended."""
    _, beaten, peers = ended.partition(BEATEN)
    return beaten + peers
