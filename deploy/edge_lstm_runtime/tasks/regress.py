"""Task "regress": quantities that are not among the inputs, answered at every step."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import Answer, Scaling, check_names, check_numbers, require

if TYPE_CHECKING:
    from ..inputs import Inputs
    from ..model.network import Network


@dataclasses.dataclass(frozen=True)
class Regress(Answer):
    """targets: the names of the quantities.

    offset, scale: (O,) raw units, answer = offset + scale * output.
    """

    task = "regress"
    model = "regression"
    several = "targets"
    ahead: ClassVar[tuple[int, ...]] = (0,)  # steps: the answer is of the step itself
    targets: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        check_names("targets", self.targets, 1)
        for field in ("offset", "scale"):
            check_numbers(field, getattr(self, field), self.size)

    @property
    def names(self) -> tuple[str, ...]:
        return self.targets

    def check(self, inputs: Inputs, network: Network) -> None:
        super().check(inputs, network)
        require(not network.whole, "reads both ways, which is for task 'classify'")

    def scaling(self, inputs: Inputs) -> Scaling:
        return Scaling(np.asarray(self.offset), np.asarray(self.scale), None)

    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """Each target's value."""
        return {"value": {t: float(v) for t, v in zip(self.targets, answer, strict=True)}}


ANSWER = Regress
