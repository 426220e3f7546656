"""What is not as usual. It is never guessed: a user asks for it."""

from __future__ import annotations

from ..draft import Key
from ..finding import Facts
from .forecast import ForecastPlan


class AnomalyPlan(ForecastPlan):
    rank = 0
    cautious = True

    def reason(self, facts: Facts) -> str:
        if not super().reason(facts):
            return ""
        return "a forecast, and the distance from it"

    def more(self) -> dict[str, Key]:
        return {
            "residual": Key(
                False, "a net that only ever put out normal values can't follow others"
            ),
            "false_alarms": Key(0.001, "of the training steps"),
            "smoothing": Key(12, "steps over which the score is averaged"),
        }


PLAN = AnomalyPlan()
