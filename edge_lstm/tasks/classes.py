"""The part that all tasks with labels share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from edge_lstm_runtime.errors import DataError

from ..config.base import Positive
from ..config.sections import CarriedTrainConfig, TaskSection, TrainConfig

Weights = Annotated[
    Literal["balanced"] | dict[str, Positive],
    Field(description="'balanced', or a table with a weight above 0 for each class"),
]


class ClassTrainConfig(CarriedTrainConfig):
    """[train] of the tasks with labels.

    label_smoothing  share of the truth that is spread over all classes
    class_weight     how much each class counts in the loss: a table of names and weights, 1 for a
                     class that isn't in it, or "balanced": n / (classes * n of the class) of the
                     training split
    """

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weight: Weights | None = None

    @property
    def of_loss(self) -> dict[str, Any]:
        """The settings as a loss of classes takes them."""
        return {"label_smoothing": self.label_smoothing, "class_weight": self.class_weight}


class ClassSection(TaskSection):
    """[model] of the tasks with labels."""

    MONITORS = ("loss", "accuracy", "macro_f1")
    HIGHER_IS_BETTER = frozenset({"accuracy", "macro_f1"})
    USES = frozenset({"temperature"})
    Train: ClassVar[type[TrainConfig]] = ClassTrainConfig
    needs_labels = True


def classes(names: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The classes of the training split: by number if all are numbers, else by name.

    names: the labels of each split. Raises DataError if training doesn't have them all, or one.
    """
    found = {part: set(labels) for part, labels in names.items()}
    for part in ("val", "test"):
        if unseen := sorted(found[part] - found["train"]):
            raise DataError(
                f"class {unseen[0]!r} is in the {part} split and not in training, so it can't be "
                "learned; change [data.split] so that training has every class (by group, "
                "`stratify` sees to it), or leave the class out"
            )
    if len(found["train"]) < 2:
        one = f"the training split has one class, {min(found['train'], default='none')!r}"
        raise DataError(f"{one}; expected at least 2; change [data.split] or `label`")
    by_name = sorted(found["train"])
    try:
        numbers = [float(name) for name in by_name]
    except ValueError:
        return tuple(by_name)
    if any(map(math.isnan, numbers)):  # which no order has a place for
        return tuple(by_name)
    return tuple(name for _, name in sorted(zip(numbers, by_name, strict=True)))
