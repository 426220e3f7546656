"""Task "forecast": channels some steps ahead, and anomalies if there is a detector."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import LARGEST, SMALLEST
from . import Answer, Quantiles, Scaling, check_names, check_numbers, require

if TYPE_CHECKING:
    from ..inputs import Inputs
    from ..model.network import Network


FARTHEST = 100_000  # steps ahead in a list: a detector keeps the answers of so many samples
MEDIAN = 0.5
NO_DETECTOR = "this model is no anomaly detector; expected one of task = 'anomaly'"


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
    horizon   the last step ahead, of all from 1 on, or the steps ahead, ascending
    offset, scale  (O,) raw units, answer = offset + scale * output. If the target's channel is on a
              logarithmic scale, they are of that scale, and the answer goes back to raw units
    residual  whether the target's current value is added to that
    quantiles  of each forecast, ascending, the median among them. () for the forecast alone
    widths    (O,) a quantile's distance from the median is multiplied by it. () for 1
    low, high  (targets,) raw units, the bounds of an answer, None for a target without. () for none
    detector  None if the model is no anomaly detector

    The outputs are in the order of the steps ahead, then of the targets, then of the quantiles.
    Raises BundleError for fields that are out of bounds.
    """

    task = "forecast"
    model = "forecast"
    several = "forecasts"
    targets: tuple[str, ...]
    horizon: int | tuple[int, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    residual: bool = False
    quantiles: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    detector: Detector | None = None

    def __post_init__(self) -> None:
        check_names("targets", self.targets, 1)
        self._check_horizon()
        require(
            isinstance(self.residual, bool),
            f"residual is {self.residual!r}, expected true or false",
        )
        self._check_quantiles()
        for field in ("offset", "scale"):
            check_numbers(field, getattr(self, field), self.size)
        if self.widths:
            require(bool(self.quantiles), "has widths, and no quantiles that they could be of")
            check_numbers("widths", self.widths, self.size, 0.0)
        self._check_bounds()
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

    def _check_horizon(self) -> None:
        steps = self.horizon
        if isinstance(steps, tuple):
            whole = all(type(k) is int and 1 <= k <= FARTHEST for k in steps)
            good = bool(steps) and whole and ascending(steps)
            expected = f"expected ascending whole numbers, 1 to {FARTHEST:,}"
            require(good, f"horizon is {list(steps)!r}, {expected}")
        else:
            good = type(steps) is int and 1 <= steps <= LARGEST
            expected = "expected a whole number from 1, or a list of them"
            require(good, f"horizon is {steps!r}, {expected}")

    def _check_quantiles(self) -> None:
        given = self.quantiles
        good = isinstance(given, tuple) and all(type(q) is float and 0 < q < 1 for q in given)
        good = good and (not given or (ascending(given) and MEDIAN in given))
        expected = f"expected ascending numbers between 0 and 1, {MEDIAN} among them"
        require(good, f"quantiles is {given!r}, {expected}")

    def _check_bounds(self) -> None:
        for field in ("low", "high"):
            given = getattr(self, field)
            if given != ():
                expected = "expected a number or null for each target"
                require(isinstance(given, tuple), f"{field} is {given!r}, {expected}")
                known = tuple(0.0 if v is None else v for v in given)
                check_numbers(field, known, len(self.targets))
        for target, low, high in zip(self.targets, self.low, self.high, strict=False):
            good = low is None or high is None or low < high
            require(good, f"low of {target!r} is {low!r}, expected below its high, {high!r}")

    def _check_detector(self, detector: Detector) -> None:
        require(isinstance(detector, Detector), f"detector is {detector!r}, expected an object")
        require(not self.quantiles, "has quantiles, and a detector watches single forecasts")
        check_numbers("detector.centre", detector.centre, self.size)
        check_numbers("detector.scale", detector.scale, self.size, SMALLEST)
        check_numbers("detector.threshold", (detector.threshold,), 1, 0.0)
        smoothing = detector.smoothing
        good = type(smoothing) in (int, float) and SMALLEST <= smoothing <= 1
        require(good, f"detector.smoothing is {smoothing!r}, expected above 0 to 1")

    @property
    def ahead(self) -> tuple[int, ...]:
        """The steps ahead, ascending."""
        given = self.horizon
        return given if isinstance(given, tuple) else tuple(range(1, given + 1))

    @property
    def names(self) -> tuple[str, ...]:
        levels = [f"@{q:g}" for q in self.quantiles] or [""]
        return tuple(f"{t}+{k}{q}" for k in self.ahead for t in self.targets for q in levels)

    @property
    def size(self) -> int:
        # Not len(names): a file may claim a huge horizon.
        steps = len(self.horizon) if isinstance(self.horizon, tuple) else self.horizon
        return steps * len(self.targets) * self.levels

    @property
    def levels(self) -> int:
        """The outputs for a target at a step ahead: its quantiles, or the forecast alone."""
        return len(self.quantiles) or 1

    @property
    def points(self) -> slice:
        """The forecasts among the outputs: of the quantiles the medians."""
        first = self.quantiles.index(MEDIAN) if self.quantiles else 0
        return slice(first, None, self.levels)

    @property
    def steps(self) -> NDArray[np.int64]:
        """(O,) each output's steps ahead."""
        return np.repeat(self.ahead, len(self.targets) * self.levels)

    def channels(self, inputs: Inputs) -> list[int]:
        """The indices of the targets among the inputs' channels."""
        return [inputs.names.index(t) for t in self.targets]

    def channels_of_outputs(self, inputs: Inputs) -> NDArray[np.int64]:
        """(O,) the channel that each output forecasts."""
        return np.repeat(np.tile(self.channels(inputs), len(self.ahead)), self.levels)

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
        units = [inputs.log_units.get(target, 0.0) for target in self.targets]
        return Scaling(
            np.asarray(self.offset),
            np.asarray(self.scale),
            self.channels_of_outputs(inputs) if self.residual else None,
            self._for_outputs(units) if any(units) else None,
            self._bound(self.low, -np.inf),
            self._bound(self.high, np.inf),
            self._spread(),
        )

    def _for_outputs(self, values: list[float]) -> NDArray[np.float64]:
        """values: (targets,) -> (O,)"""
        return np.repeat(np.tile(values, len(self.ahead)), self.levels)

    def _bound(self, given: tuple[float | None, ...], none: float) -> NDArray[np.float64] | None:
        return self._for_outputs([none if v is None else v for v in given]) if given else None

    def _spread(self) -> Quantiles | None:
        if not self.quantiles:
            return None
        widths = np.asarray(self.widths or (1.0,) * self.size)
        return Quantiles(self.levels, self.points.start, widths)

    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """Each target's forecast, a list over the steps ahead.

        If `horizon` is a list, these steps are named beside it. The other quantiles are apart.
        """
        values = answer.reshape(len(self.ahead), len(self.targets), self.levels)
        named = {t: values[:, j] for j, t in enumerate(self.targets)}
        median = self.points.start
        found: dict[str, Any] = {"forecast": {t: _plain(v[:, median]) for t, v in named.items()}}
        if isinstance(self.horizon, tuple):
            found["ahead"] = list(self.horizon)
        if self.quantiles:
            others = [n for n in range(self.levels) if n != median]
            found["quantiles"] = {
                t: {f"{self.quantiles[n]:g}": _plain(v[:, n]) for n in others}
                for t, v in named.items()
            }
        return found


def ascending(values: tuple[float, ...]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


def _plain(values: NDArray[Any]) -> list[float]:
    return [float(v) for v in values]


ANSWER = Forecast
