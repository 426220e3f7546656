"""One trial: a net trained for each draw, and its validation metric in each number format.

FOLDER/trials/007/draw0, draw1, ...  runs, as `edge-lstm train` writes them, without a look at the
test split
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import TrainingError

from ..data.recordings import Splits
from ..emulate.cpu_int8 import Int8Net
from ..network import CompactNet
from ..results.answers import answers, calibrated
from ..results.metrics import evaluate
from ..results.run import Run
from ..training.trial import train_trial
from .costs import Costs
from .plan import Plan
from .rows import Row, peers, stopped_by, stops
from .space import Values

TRIALS = "trials"
BUSY = 1.0  # seconds between looks at a folder that another process holds
NETS = {"float32": CompactNet, "int8": Int8Net}


@dataclasses.dataclass
class Trials:
    """Trains the nets of a plan.

    folder: of the search. alive: raises if the process is to end, called at each epoch.
    """

    plan: Plan
    folder: Path
    costs: Costs
    alive: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._splits = functools.cache(self.plan.splits)

    def run(self, number: int, values: Values, others: Sequence[Row]) -> Row:
        """others: the rows until now, which the median rule looks at. Raises EdgeLstmError."""
        began = time.monotonic()
        costs = self.costs.of(values, ("bytes", "macs", "us"))
        rivals = peers(others, costs, self.plan.budget.chief)
        epochs = self.plan.config.train.epochs
        metrics: dict[str, list[float]] = {number_format: [] for number_format in costs}
        curve: list[float] = []
        stopped = ""
        trained = 0

        def watch(history: list[dict[str, float]]) -> str:
            self.alive()
            return stops(self._curve(history), rivals, epochs) if draw == 0 else ""

        for draw in range(self.plan.asked.draws):
            run, ended = self._trained(number, values, draw, watch)
            trained += len(run.history)
            if draw == 0:
                curve = self._curve(run.history)
                # If this process took the trial over, the peers that ended it may be gone.
                stopped = stopped_by(ended) or stops(curve, rivals, epochs)
            for number_format, found in metrics.items():
                found.append(self._metric(run, number_format, self._splits(draw)))
            if stopped:
                break
        seconds = time.monotonic() - began
        return Row(number, values, metrics, costs, curve, stopped, trained, seconds)

    def _trained(
        self, number: int, values: Values, draw: int, watch: Callable[[list[dict[str, float]]], str]
    ) -> tuple[Run, str]:
        folder = self.folder / TRIALS / f"{number:03d}" / f"draw{draw}"
        config = self.plan.configured(values, draw)
        while True:
            try:
                return train_trial(config, folder, self._splits(draw), watch)
            except TrainingError as e:
                if "another process holds it" not in str(e):
                    raise
                self.alive()  # one that was taken for dead still trains it
                time.sleep(BUSY)

    def _metric(self, run: Run, number_format: str, splits: Splits) -> float:
        net = NETS[number_format](run.spec, **run.config.model.network_options)
        net.load_state_dict(run.model.state_dict())
        net.spec = dataclasses.replace(net.spec, answer=calibrated(net, splits.val))
        season = self.plan.config.data.season
        found = evaluate(net.spec, splits.val, answers(net, splits.val), season=season)
        return float(found[self.plan.metric])

    def _curve(self, history: Sequence[dict[str, Any]]) -> list[float]:
        monitor = self.plan.config.train.monitor
        sign = 1 if monitor in self.plan.config.model.HIGHER_IS_BETTER else -1
        scores: Iterator[float] = (sign * row[f"val_{monitor}"] for row in history)
        return list(accumulate(scores, max))
