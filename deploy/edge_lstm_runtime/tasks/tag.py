"""Task "tag": a logit for each class, of a class that changes along the stream."""

from __future__ import annotations

import dataclasses

from . import ClassAnswer, require


@dataclasses.dataclass(frozen=True)
class Tag(ClassAnswer):
    """classes: the names of the classes, in the order of the outputs.

    tolerance: steps by which the metrics let the beginning of an event be early or late.
    """

    task = "tag"
    model = "tagger"
    several = "classes"
    tolerance: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.tolerance, int) and not isinstance(self.tolerance, bool)
        good = whole and self.tolerance >= 0
        require(good, f"tolerance is {self.tolerance!r}, expected a whole number of at least 0")


ANSWER = Tag
