"""Task "values": the outputs as they are, of a net that another tool trained."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from numpy.typing import NDArray

from . import Answer, check_names


@dataclasses.dataclass(frozen=True)
class Values(Answer):
    """targets: (O,) a name for each output."""

    task = "values"
    model = "imported net"
    imported = True
    several = "outputs"
    ahead: ClassVar[tuple[int, ...]] = (0,)  # steps: the answer is of the step itself
    targets: tuple[str, ...]

    def __post_init__(self) -> None:
        check_names("targets", self.targets, 1)

    @property
    def names(self) -> tuple[str, ...]:
        return self.targets

    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """Each output's value."""
        return {"value": {t: float(v) for t, v in zip(self.targets, answer, strict=True)}}


ANSWER = Values
