"""Task "classify": a logit for each class."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from numpy.typing import NDArray

from . import Answer, check_names, probabilities


@dataclasses.dataclass(frozen=True)
class Classify(Answer):
    """classes: the names of the classes, in the order of the outputs."""

    task = "classify"
    model = "classifier"
    several = "classes"
    targets: ClassVar[tuple[str, ...]] = ()  # it answers no quantities
    logits = True
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_names("classes", self.classes, 2)

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """The label, and the probability of every class."""
        shares = probabilities(answer)
        return {
            "label": self.classes[int(answer.argmax())],
            "probabilities": {
                name: round(float(share), 6)
                for name, share in zip(self.classes, shares, strict=True)
            },
        }


ANSWER = Classify
