"""Features that are derived of channels, sample by sample.

Each transform is a frozen dataclass here, and an object with its `type` in a bundle. A sample goes
through them in this order, whatever the order of the list:

    log         x becomes log(1 + x / unit). The channel's mean and std are of this scale
    (its gaps are filled)
    clip        x becomes min(max(x, low), high), for the features alone
    the others  each appends features, in the order of the list. Their x is filled, on its scale,
                and clipped

A feature that is appended is (value - mean) / std, and at most MAX_FEATURE from 0. The docstrings
say how the value is made. It is computed in float64.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..checks import LARGEST, SMALLEST
from ..errors import BundleError
from ..plain import changed, tuples
from . import Float64, calendar

Memory = dict[str, Float64]  # by name; NaN for a value that is not there yet
# In standard deviations from the mean. Products with larger features could overflow float32 and
# leave NaN in the state.
MAX_FEATURE = 1e30
MAX_STEPS = 100_000  # that a transform looks back: bounds the memory of a damaged bundle
_require = functools.partial(checks.require, "inputs")


class Origin(Protocol):
    """The `channels.Channels` of a transform, as far as it reads them."""

    @property
    def channels(self) -> tuple[str, ...]: ...

    @property
    def dt(self) -> str: ...

    @property
    def dt_unit(self) -> float: ...

    @property
    def clock(self) -> str: ...

    @property
    def arrays(self) -> tuple[Float64, Float64, Float64]: ...

    def places(self, names: Sequence[str]) -> list[int]: ...


@dataclasses.dataclass(frozen=True)
class Transform:
    """The base of all."""

    type: ClassVar[str]

    @property
    def sources(self) -> tuple[str, ...]:
        """The channels of numbers that it reads."""
        return ()

    @property
    def clock(self) -> str:
        """The channel of times that it reads, "" if none."""
        return ""

    @property
    def where(self) -> str:
        return f"{self.type} transform: "

    def check(self, inputs: Origin) -> None:
        """Raise BundleError for channels that the inputs don't have, or that don't fit."""
        known = list(inputs.channels)
        for name in filter(None, (*self.sources, self.clock)):
            _require(name in known, f"{self.where}{name!r} is not among the channels {known}")
        time = f"{self.where}{inputs.clock!r} is a time, which has a calendar alone"
        _require(inputs.clock not in self.sources, time)

    @abstractmethod
    def words(self) -> str:
        """The transform in plain words, in one line."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, without the fields that have their default value."""
        return {"type": self.type, **changed(self)}


@dataclasses.dataclass(frozen=True)
class OfChannels(Transform):
    """channels: those that are changed, or of which features are derived."""

    channels: tuple[str, ...]

    def __post_init__(self) -> None:
        checks.check_names("inputs", f"{self.where}channels", self.channels, 1)

    @property
    def sources(self) -> tuple[str, ...]:
        return self.channels

    def _numbers(self, field: str, least: float = -LARGEST) -> None:
        values = getattr(self, field)
        checks.check_numbers("inputs", f"{self.where}{field}", values, len(self.channels), least)

    def _steps(self, field: str) -> None:
        steps = getattr(self, field)
        good = type(steps) is int and 1 <= steps <= MAX_STEPS
        expected = f"expected a whole number from 1 to {MAX_STEPS}"
        _require(good, f"{self.where}{field} is {steps!r}, {expected}")


@dataclasses.dataclass(frozen=True)
class Log(OfChannels):
    """units: (channels,) raw units, >= 1e-30. A negative x is refused."""

    type = "log"
    units: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers("units", SMALLEST)

    def check(self, inputs: Origin) -> None:
        super().check(inputs)
        twice = f"{self.where}{inputs.dt!r} is on a logarithmic scale already"
        _require(inputs.dt not in self.channels, twice)

    def words(self) -> str:
        each = zip(self.channels, self.units, strict=True)
        return "; ".join(f"{c} becomes log(1 + {c} / {unit:g})" for c, unit in each)


@dataclasses.dataclass(frozen=True)
class Clip(OfChannels):
    """low, high: (channels,) on the channel's scale, low <= high."""

    type = "clip"
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers("low")
        self._numbers("high")
        for name, low, high in zip(self.channels, self.low, self.high, strict=True):
            limits = f"{self.where}{name!r} has low {low:g} above high {high:g}"
            _require(low <= high, limits)

    def words(self) -> str:
        each = zip(self.channels, self.low, self.high, strict=True)
        return "; ".join(f"{c} is clipped to {low:g} ... {high:g}" for c, low, high in each)


@dataclasses.dataclass(frozen=True)
class Derived(Transform):
    """A transform that appends features."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """One for each of the features."""

    @property
    def normalization(self) -> tuple[Float64, Float64] | None:
        """(features,) each: mean and std. None if the values are the features."""
        return None

    @property
    def memory(self) -> dict[str, tuple[int, ...]]:
        """The name and the shape of each array that it remembers from sample to sample."""
        return {}

    @abstractmethod
    def values(
        self, inputs: Origin, filled: Float64, clipped: Float64, memory: Memory
    ) -> tuple[Float64, Memory]:
        """The next samples' values, and the memory after them.

        filled, clipped: (steps, ..., C). memory: arrays (..., *shape), which stay as they are.
        Returns (steps, ..., features).
        """


@dataclasses.dataclass(frozen=True)
class Compared(OfChannels, Derived):
    """A feature for each channel: its x less another value.

    mean, std: (channels,) of that difference.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers("mean")
        self._numbers("std", SMALLEST)

    @functools.cached_property
    def normalization(self) -> tuple[Float64, Float64]:
        return np.array(self.mean, np.float64), np.array(self.std, np.float64)


@dataclasses.dataclass(frozen=True)
class Difference(Compared):
    """x[t] - x[t - lag], and 0 for the first `lag` samples of a stream."""

    type = "difference"
    lag: int = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._steps("lag")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{c}-{c}[{self.lag}]" for c in self.channels)

    @property
    def memory(self) -> dict[str, tuple[int, ...]]:
        return {"past": (self.lag, len(self.channels))}

    def values(
        self, inputs: Origin, filled: Float64, clipped: Float64, memory: Memory
    ) -> tuple[Float64, Memory]:
        x = clipped[..., inputs.places(self.channels)]
        before, past = _looked_back(memory["past"], x)
        return np.where(np.isnan(before), 0.0, x - before), {"past": past}

    def words(self) -> str:
        ago = "the sample before" if self.lag == 1 else f"{self.lag} samples before"
        return f"{', '.join(self.channels)}: the difference from {ago}"


@dataclasses.dataclass(frozen=True)
class Distance(Compared):
    """x[t] - m[t], the distance from a running mean.

    steps    m[t] is the mean of x[t - steps + 1] ... x[t], over those that there are
    seconds  in place of it: m[t] = m[t - 1] + (1 - exp(-dt / seconds)) (x[t] - m[t - 1]), and the
             first one is x[0]. dt is the seconds since the sample before
    clock    with `seconds`: the channel `dt`, or one of seconds since 1970 from which dt is
             computed, 0 if it goes back
    """

    type = "distance"
    steps: int | None = None
    seconds: float | None = None
    clock: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        either = f"{self.where}steps is {self.steps!r} and seconds {self.seconds!r}"
        one = (self.steps is None) != (self.seconds is None)
        _require(one, f"{either}, expected one of the two")
        timed = isinstance(self.clock, str) and bool(self.clock) == (self.seconds is not None)
        needed = "expected a channel with `seconds`, none with `steps`"
        _require(timed, f"{self.where}clock is {self.clock!r}, {needed}")
        if self.steps is not None:
            self._steps("steps")
        else:
            checks.check_numbers("inputs", f"{self.where}seconds", (self.seconds,), 1, SMALLEST)

    @property
    def names(self) -> tuple[str, ...]:
        span = self.steps if self.seconds is None else f"{self.seconds:g}s"
        return tuple(f"{c}-mean[{span}]" for c in self.channels)

    @property
    def memory(self) -> dict[str, tuple[int, ...]]:
        count = len(self.channels)
        if self.steps is not None:
            return {"past": (self.steps, count), "sum": (count,)}
        return {"mean": (count,), "time": (1,)}

    def values(
        self, inputs: Origin, filled: Float64, clipped: Float64, memory: Memory
    ) -> tuple[Float64, Memory]:
        places = inputs.places(self.channels)
        x = clipped[..., places]
        if self.seconds is not None:
            return self._exponential(inputs, x, filled, memory)
        # Sums of the deviations from the channel's mean stay small, and so does their rounding.
        x = x - inputs.arrays[0][places]
        leaving, past = _looked_back(memory["past"], x)
        start = np.where(np.isnan(memory["sum"]), 0.0, memory["sum"])
        gone = np.isnan(leaving)
        # np.cumsum adds one after the other. So a run is the same as its steps, to the bit.
        sums = np.cumsum(np.concatenate([start[None], x - np.where(gone, 0, leaving)]), axis=0)[1:]
        fewer = np.isnan(memory["past"]).sum(axis=-2) - np.arange(1, len(x) + 1).reshape(
            -1, *[1] * (x.ndim - 1)
        )
        counts = self.steps - np.maximum(fewer, 0)
        return x - sums / counts, {"past": past, "sum": sums[-1]}

    def _exponential(
        self, inputs: Origin, x: Float64, filled: Float64, memory: Memory
    ) -> tuple[Float64, Memory]:
        times = filled[..., inputs.places((self.clock,))[0]]
        if self.clock == inputs.dt:
            elapsed = inputs.dt_unit * np.expm1(times)
        else:
            elapsed = np.diff(times, axis=0, prepend=memory["time"][None, ..., 0])
            elapsed = np.maximum(np.where(np.isnan(elapsed), 0, elapsed), 0)
        assert self.seconds is not None
        weights = -np.expm1(-elapsed / self.seconds)[..., None]
        mean = memory["mean"]
        means = np.empty_like(x)
        for n in range(len(x)):
            mean = np.where(np.isnan(mean), x[n], mean + weights[n] * (x[n] - mean))
            means[n] = mean
        return x - means, {"mean": mean, "time": times[-1][..., None].copy()}

    def words(self) -> str:
        if self.seconds is None:
            of = f"the mean of the last {self.steps} samples"
        else:
            of = f"the running mean over {self.seconds:g} s (by {self.clock})"
        return f"{', '.join(self.channels)}: the distance from {of}"


@dataclasses.dataclass(frozen=True)
class Calendar(Derived):
    """The formulas are in `calendar`. Its values are features as they are.

    channel   of the seconds since 1970, UTC
    parts     of "hour", "weekday", "yearday", "holiday", in the order of the features
    ahead     seconds that are added to the time. For each of them, in order, all parts follow
    zone      [second, offset] in seconds, ascending: from this second on, UTC, local time is the
              UTC time plus this offset. Without a row, local time is UTC
    holidays  days since 1970 in local time, ascending
    """

    type = "calendar"
    channel: str
    parts: tuple[str, ...]
    ahead: tuple[float, ...] = (0,)
    zone: tuple[tuple[int, int], ...] = ()
    holidays: tuple[int, ...] = ()

    @property
    def clock(self) -> str:
        return self.channel

    def __post_init__(self) -> None:
        _require(isinstance(self.channel, str), f"{self.where}channel is {self.channel!r}")
        checks.check_names("inputs", f"{self.where}parts", self.parts, 1)
        unknown = [part for part in self.parts if part not in calendar.PARTS]
        expected = ", ".join(calendar.PARTS)
        _require(not unknown, f"{self.where}has unknown parts {unknown}, expected {expected}")
        checks.check_numbers("inputs", f"{self.where}ahead", self.ahead, len(self.ahead))
        most = checks.LATEST
        good = bool(self.ahead) and all(abs(seconds) <= most for seconds in self.ahead)
        _require(good, f"{self.where}ahead is {list(self.ahead)}, expected up to {most:g} seconds")
        checks.check_zone("inputs", f"{self.where}zone", self.zone)
        checks.check_moments("inputs", f"{self.where}holidays", self.holidays)

    def check(self, inputs: Origin) -> None:
        super().check(inputs)
        elapsed = f"{self.where}{self.channel!r} is the seconds since the sample before"
        _require(self.channel != inputs.dt, f"{elapsed}, expected a channel of times")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(
            ".".join(filter(None, (part, kind))) + (f"+{seconds:g}s" if seconds else "")
            for seconds in self.ahead
            for part in self.parts
            for kind in calendar.PARTS[part]
        )

    @functools.cached_property
    def _tables(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], NDArray[np.int64]]:
        seconds = tuple(row[0] for row in self.zone)
        offsets = tuple(row[1] for row in self.zone)
        return (seconds, offsets), np.array(self.holidays, np.int64)

    def values(
        self, inputs: Origin, filled: Float64, clipped: Float64, memory: Memory
    ) -> tuple[Float64, Memory]:
        times = filled[..., inputs.places((self.channel,))[0]]
        found = [
            calendar.features(times + seconds, self.parts, *self._tables) for seconds in self.ahead
        ]
        return np.concatenate(found, axis=-1), {}

    def words(self) -> str:
        later = [f"{seconds:g} s later" if seconds else "now" for seconds in self.ahead]
        when = "" if self.ahead == (0,) else f", {', '.join(later)}"
        zone = f"in local time ({len(self.zone)} changes of the clock known)"
        days = f", {len(self.holidays)} holidays known" if "holiday" in self.parts else ""
        return (
            f"{self.channel}: {', '.join(self.parts)} {zone if self.zone else 'in UTC'}{days}{when}"
        )


TRANSFORMS: dict[str, type[Transform]] = {
    kind.type: kind for kind in (Log, Clip, Difference, Distance, Calendar)
}


def transform_from(values: object) -> Transform:
    """The inverse of `Transform.to_dict`. Raises BundleError."""
    kind = values.get("type") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(kind, str) or kind not in TRANSFORMS:
        expected = f"expected an object with a type, one of {', '.join(TRANSFORMS)}"
        raise BundleError(f"inputs: a transform is {values!r}, {expected}")
    fields = {f.name: f for f in dataclasses.fields(TRANSFORMS[kind])}
    given = {name: tuples(value) for name, value in values.items() if name != "type"}
    needed = {n for n, f in fields.items() if f.default is dataclasses.MISSING}
    if not needed <= set(given) <= set(fields):
        has = f"has the keys {sorted(given)}"
        raise BundleError(f"inputs: {kind} transform: {has}, expected {list(fields)}")
    return TRANSFORMS[kind](**given)


def _looked_back(past: Float64, x: Float64) -> tuple[Float64, Float64]:
    """past: (n, K) or (N, n, K), the samples before x, the oldest first. x: (steps, ..., K).

    Returns the samples n steps before those of x, and the past after them.
    """
    line = np.concatenate([past.swapaxes(0, -2), x])
    n = past.shape[-2]
    return line[: len(x)], line[-n:].swapaxes(0, -2).copy()
