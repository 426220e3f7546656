"""From a configuration and its data to a plan, and from a plan to what its nets cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from edge_lstm_runtime import native
from edge_lstm_runtime.errors import BackendUnavailableError

from ..config.schema import Config
from ..config.search import SearchConfig
from ..data.load import load_data, make_spec
from ..data.recordings import Splits
from ..results.metrics import evaluate, headline
from .budget import Budget
from .clock import Board, Here, board_of
from .costs import Costs, over, within
from .plan import Plan, test_groups
from .space import SIZE, Values, space_of

TIMES = "us.json"  # of the folder: what was measured


@dataclasses.dataclass(frozen=True)
class Setting:
    """notes: sentences on the plan. clock: how microseconds are found."""

    plan: Plan
    costs: Costs
    clock: Here | Board
    notes: tuple[str, ...]

    def start(self) -> Values:
        """The configuration's own values, with fewer units if it is over the budget."""
        plan = self.plan
        values = plan.space.start(plan.config)
        sizes = plan.space.sizes
        while sizes and values[SIZE] > sizes.low and over(self.costs, plan.budget, values) > 0:
            values[SIZE] = max(int(sizes.low), values[SIZE] * 3 // 4)
        return values


def make_setting(config: Config, budget: Budget, bench: str, folder: Path) -> Setting:
    """bench: the text of --bench, "" without. Raises ConfigError and DataError."""
    space = space_of(config)
    asked = config.search or SearchConfig()
    splits = load_data(config)
    spec = make_spec(config, splits)
    zeros = [np.zeros((len(s.x), spec.answer.size), np.float32) for s in splits.val]
    metric = config.train.monitor
    if metric == "loss":  # losses of different settings can't be compared
        metric = headline(evaluate(spec, splits.val, zeros, season=config.data.season))
    notes = []
    if "us" in budget.limits and not bench and "int8" in asked.formats and not _native():
        asked = asked.model_copy(update={"formats": ("float32",)})
        notes.append("int8 is left out: the native library, which would be timed, is not here")
    plan = Plan(
        config,
        asked,
        space,
        budget,
        metric,
        len(splits.val),
        splits.fingerprint,
        test_groups(config, splits),
        bench,
    )
    clock, costs = costs_of(plan, folder, splits)
    narrowed, said = within(costs, budget)
    notes += [said] if said else []
    plan = dataclasses.replace(plan, space=narrowed)
    return Setting(plan, dataclasses.replace(costs, space=narrowed), clock, tuple(notes))


def costs_of(plan: Plan, folder: Path, splits: Splits) -> tuple[Here | Board, Costs]:
    """splits: of the first draw."""
    samples = splits.val[0].x
    samples = samples[np.isfinite(samples).all(axis=1)]  # some inputs refuse missing values
    clock = board_of(plan.bench) if plan.bench else Here(samples, folder / TIMES)
    return clock, Costs(plan.config, plan.space, splits, plan.asked.formats, clock)


def _native() -> bool:
    try:
        native.library()
    except BackendUnavailableError:
        return False
    return True
