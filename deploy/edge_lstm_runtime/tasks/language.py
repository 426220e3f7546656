"""Task "language": a logit for each character that may come next."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..inputs.characters import Characters
from . import ClassAnswer, probabilities, require

if TYPE_CHECKING:
    from ..inputs import Inputs
    from ..model.network import Network

TOLD = 5  # characters in the description of an answer


@dataclasses.dataclass(frozen=True)
class Language(ClassAnswer):
    """classes: the characters in the order of the outputs, the same as the inputs'."""

    task = "language"
    model = "character model"
    several = "next"
    text = True

    def check(self, inputs: Inputs, network: Network) -> None:
        super().check(inputs, network)
        good = isinstance(inputs, Characters) and inputs.characters == self.classes
        require(good, "the classes are not the characters of the inputs")
        require(
            not network.whole, "reads both ways: it would read the characters that it is to tell"
        )

    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """The likeliest next character, and the probabilities of the likeliest few."""
        shares = probabilities(answer)
        shown = np.argsort(-shares, kind="stable")[:TOLD].tolist()
        return {
            "label": self.classes[int(answer.argmax())],
            "probabilities": {self.classes[k]: round(float(shares[k]), 6) for k in shown},
        }


ANSWER = Language
