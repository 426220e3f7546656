"""Task "classify": a logit for each class."""

from __future__ import annotations

import dataclasses
from typing import Any

from numpy.typing import NDArray

from . import ClassAnswer, probabilities


@dataclasses.dataclass(frozen=True)
class Classify(ClassAnswer):
    """classes: the names of the classes, in the order of the outputs."""

    task = "classify"
    model = "classifier"
    several = "classes"

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
