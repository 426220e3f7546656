"""Task "forecast": channels some steps ahead, and anomalies if there is a detector."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import LARGEST, SMALLEST
from . import Answer, Scaling, check_names, check_numbers, require

if TYPE_CHECKING:
    from ..inputs import Inputs
    from ..model.network import Network


NO_DETECTOR = "this model is no anomaly detector; train one with task = 'anomaly'"


@dataclasses.dataclass(frozen=True)
class Detector:
    """The numbers by which `edge_lstm_runtime.detector` scores forecasts.

    centre, scale  (O,) raw units: the median of each output's errors on the training split, and
                   their spread
    threshold      a score above it is an anomaly
    smoothing      above 0, to 1: the weight of a sample's own score against the average of the
                   scores before
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    threshold: float
    smoothing: float = 1.0


@dataclasses.dataclass(frozen=True)
class Forecast(Answer):
    """targets   the channels that are forecast
    horizon   steps ahead. Output k * len(targets) + j is targets[j] at step t + 1 + k
    offset, scale  (O,) raw units, answer = offset + scale * output. If the target's channel is on a
              logarithmic scale, they are of that scale, and the answer goes back to raw units
    residual  whether the target's current value is added to that
    detector  None if the model is no anomaly detector

    Raises BundleError for fields that are out of bounds.
    """

    task = "forecast"
    model = "forecast"
    several = "forecasts"
    targets: tuple[str, ...]
    horizon: int
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    residual: bool = False
    detector: Detector | None = None

    def __post_init__(self) -> None:
        check_names("targets", self.targets, 1)
        good = type(self.horizon) is int and 1 <= self.horizon <= LARGEST
        require(good, f"horizon is {self.horizon!r}, expected a whole number from 1")
        require(
            isinstance(self.residual, bool),
            f"residual is {self.residual!r}, expected true or false",
        )
        for field in ("offset", "scale"):
            check_numbers(field, getattr(self, field), self.size)
        given: Any = self.detector  # a JSON object if it comes from a file
        if isinstance(given, Mapping):
            lists = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            fields = {f.name for f in dataclasses.fields(Detector)}
            good = fields - {"smoothing"} <= set(lists) <= fields
            require(good, f"detector has the keys {sorted(lists)}, expected {sorted(fields)}")
            arguments: dict[str, Any] = lists
            object.__setattr__(self, "detector", Detector(**arguments))
        if self.detector is not None:
            self._check_detector(self.detector)

    def _check_detector(self, detector: Detector) -> None:
        require(isinstance(detector, Detector), f"detector is {detector!r}, expected an object")
        check_numbers("detector.centre", detector.centre, self.size)
        check_numbers("detector.scale", detector.scale, self.size, SMALLEST)
        check_numbers("detector.threshold", (detector.threshold,), 1, 0.0)
        smoothing = detector.smoothing
        good = type(smoothing) in (int, float) and SMALLEST <= smoothing <= 1
        require(good, f"detector.smoothing is {smoothing!r}, expected above 0 to 1")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{t}+{k}" for k in range(1, self.horizon + 1) for t in self.targets)

    @property
    def size(self) -> int:
        return self.horizon * len(self.targets)  # not len(names): a file may claim a huge horizon

    def channels(self, inputs: Inputs) -> list[int]:
        """The indices of the targets among the inputs' channels."""
        return [inputs.names.index(t) for t in self.targets]

    def check(self, inputs: Inputs, network: Network) -> None:
        super().check(inputs, network)
        absent = [t for t in self.targets if t not in inputs.names]
        require(not absent, f"targets {absent} are not among the channels {list(inputs.names)}")
        require(not network.whole, "reads both ways: it would read the future that it is to tell")
        elapsed = inputs.elapsed
        require(elapsed not in self.targets, f"dt is {elapsed!r}, which is among the targets")
        time = inputs.clock
        require(time not in self.targets, f"the time {time!r} is among the targets")

    def scaling(self, inputs: Inputs) -> Scaling:
        residual = np.array(self.channels(inputs) * self.horizon) if self.residual else None
        units = [inputs.log_units.get(target, 0.0) for target in self.targets]
        scales = np.array(units * self.horizon) if any(units) else None
        return Scaling(np.asarray(self.offset), np.asarray(self.scale), residual, scales)

    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """Each target's forecast, a list over the steps ahead."""
        steps = answer.reshape(self.horizon, len(self.targets))
        return {
            "forecast": {t: [float(v) for v in steps[:, j]] for j, t in enumerate(self.targets)}
        }


ANSWER = Forecast
