"""What the tasks that answer with numbers have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ..config.sections import CarriedTrainConfig, TaskSection, TrainConfig
from ..data.recordings import PARTS, Parts, Sequence, Splits


class NumberTrainConfig(CarriedTrainConfig):
    """[train] of tasks that answer with numbers.

    loss  the squared error, or "huber", which large errors (rare jumps) don't dominate
    """

    loss: Literal["mse", "huber"] = "mse"

    @property
    def loss_options(self) -> dict[str, Any]:
        return {"huber": self.loss == "huber"}


class NumberSection(TaskSection):
    """[model] of tasks that answer with numbers."""

    MONITORS = ("loss", "mae", "rmse", "nrmse")
    Train: ClassVar[type[TrainConfig]] = NumberTrainConfig

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        train, val, test = ([Sequence(r.full_name, r.group, r.x, None, r.y, r.time, r.anomalous) for r in parts[p]] for p in PARTS)
        return Splits(train, val, test, channels)
