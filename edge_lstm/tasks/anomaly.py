"""A forecast, and the distance of the sample from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ..config.base import Contradiction, Count, Fraction
from ..config.sections import Whole
from . import forecast


class Section(forecast.Section):
    """[model] of task "anomaly", which forecasts too.

    false_alarms  the share of the training steps, without known anomalies, that may be flagged
    smoothing     steps over which the score is averaged, exponentially. 1 means none
    """

    FITS = ""
    USES = frozenset({"season", "known_anomalies"})

    false_alarms: Fraction = 0.001
    smoothing: Count = 1

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if self.quantiles:
            yield ("model", "quantiles"), "a detector watches single forecasts; remove them"
        yield from super().rules(config)

    @property
    def alarms(self) -> dict[str, Any]:
        return {"false_alarms": self.false_alarms, "smoothing": self.smoothing}


class AnomalyTask(forecast.ForecastTask):
    """Its rows of `edge-lstm compare` are detectors. The LSTM's is one of them."""

    rivals: ClassVar[Mapping[str, str]] = {
        "lstm": "edge_lstm.compare.detectors:lstm",
        "naive": "edge_lstm.compare.detectors:last_value",
        "seasonal": "edge_lstm.compare.detectors:seasonal",
        "raw": "edge_lstm.compare.detectors:raw_value",
        "rolling": "edge_lstm.compare.detectors:rolling_z",
    }
    quick = ("raw", "rolling")
    networks = False


TASK = AnomalyTask()
