"""Task "classify": a logit for each class."""

from __future__ import annotations

import dataclasses

from . import ClassAnswer


@dataclasses.dataclass(frozen=True)
class Classify(ClassAnswer):
    """classes: the names of the classes, in the order of the outputs."""

    task = "classify"
    model = "classifier"
    several = "classes"


ANSWER = Classify
