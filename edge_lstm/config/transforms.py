"""[[data.transforms]] and [data.calendar]: what is derived of the inputs, as it is asked for.

The runtime's form of them, with the numbers of the training split, is in
edge_lstm_runtime.inputs.transforms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from edge_lstm_runtime.checks import LARGEST, SMALLEST
from edge_lstm_runtime.inputs.transforms import MAX_STEPS

from .base import Names, Section, repeated


def _one_or_several(value: Any, least: float = SMALLEST, most: float = LARGEST) -> Any:
    """The value, if it is a number from `least` to `most`, or a list of them."""
    given = value if isinstance(value, tuple) else (value,)
    if not given or not all(least <= v <= most for v in given):
        kind = "whole number" if least == 1 else "number"
        expected = f"expected a {kind} from {least:g} to {most:g}, or a list of them"
        raise PydanticCustomError("numbers", "{message}", {"message": expected})
    return value


Steps = Annotated[int | tuple[int, ...], AfterValidator(lambda v: _one_or_several(v, 1, MAX_STEPS))]
Seconds = Annotated[float | tuple[float, ...], AfterValidator(_one_or_several)]
Quantile = Annotated[float, Field(ge=0, le=1)]
Part = Literal["hour", "weekday", "yearday", "holiday"]
KEYS = {"log": (), "clip": ("quantiles",), "difference": ("lag",), "distance": ("steps", "seconds")}


class TransformConfig(Section):
    """[[data.transforms]], a table for each. See `transforms` of the runtime for the formulas.

    type       "log": log(1 + x / unit) in place of x. "clip": x within quantiles. "difference": a
               further input, the change since some steps before. "distance": a further input, the
               distance from a running mean
    channels   all of `channels` in [data] if left out
    quantiles  clip: of the training split. [0.001, 0.999] if left out
    lag        difference: steps, or a list of them. 1 if left out
    steps      distance: the mean is that of so many steps. A number, or a list of them
    seconds    distance, in place of `steps`: the time constant of an exponential mean. A number, or
               a list of them
    """

    type: Literal["log", "clip", "difference", "distance"]
    channels: Names | None = None
    quantiles: tuple[Quantile, Quantile] = (0.001, 0.999)
    lag: Steps = 1
    steps: Steps | None = None
    seconds: Seconds | None = None

    @property
    def lags(self) -> tuple[int, ...]:
        return self.lag if isinstance(self.lag, tuple) else (self.lag,)

    @property
    def spans(self) -> tuple[int | float, ...]:
        """`steps` or `seconds`."""
        given: int | float | tuple[int | float, ...] = self.steps or self.seconds or ()
        return given if isinstance(given, tuple) else (given,)

    def problems(self, known: list[str], dt: str) -> Iterator[str]:
        """What is wrong in this table. known: the channels, with `dt` if there is one."""
        for key in ("quantiles", "lag", "steps", "seconds"):
            if key in self.model_fields_set and key not in KEYS[self.type]:
                yield f"`{key}` is not for type {self.type!r}; remove it"
        if self.type == "distance" and (self.steps is None) == (self.seconds is None):
            yield "type 'distance' needs either `steps` or `seconds`"
        low, high = self.quantiles
        if low >= high:
            yield f"quantiles = [{low:g}, {high:g}]: expected the lower one first"
        if repeated(self.channels):
            yield "channels: expected each name once"
        for name in self.channels or ():
            if name not in known:
                yield f"expected names among the channels {known}, and {name!r} is not"
        if self.type == "log" and dt and dt in (self.channels or ()):
            yield f"{dt!r} is on a logarithmic scale already"


class CalendarConfig(Section):
    """[data.calendar]: further inputs, made of the column `time`.

    parts     of "hour", "weekday", "yearday" (sine and cosine each) and "holiday" (0 or 1). The
              first three if left out, and the last one with `holidays`
    zone      of local time, such as "America/New_York". Times that name no zone are in UTC. If they
              are local times, leave `zone` out: they are then taken as they are
    holidays  the country whose holidays count, such as "US" or, with a subdivision, "US-CA"
    ahead     seconds: the parts of so much later. [0, 3600] gives those of now and of in an hour
    """

    parts: Annotated[tuple[Part, ...], Field(min_length=1)] | None = None
    zone: str = "UTC"
    holidays: str | None = None
    ahead: Annotated[tuple[Annotated[float, Field(ge=-1e9, le=1e9)], ...], Field(min_length=1)] = (
        0,
    )

    @property
    def all_parts(self) -> tuple[str, ...]:
        usual = ("hour", "weekday", "yearday", *(["holiday"] if self.holidays else []))
        return self.parts or tuple(usual)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys, and what is wrong about them."""
        for key in ("parts", "ahead"):
            if repeated(map(str, getattr(self, key) or ())):
                yield key, "expected each one once"
        if "holiday" in self.all_parts and self.holidays is None:
            yield "holidays", 'expected a country, such as "US", for the part "holiday"'
        if self.holidays is not None and "holiday" not in self.all_parts:
            yield "holidays", "has no meaning without the part 'holiday'; add it, or remove this"


@dataclasses.dataclass(frozen=True)
class Derivation:
    """All that [data] asks for.

    clock  the channel of times, "" if there is none
    """

    transforms: tuple[TransformConfig, ...] = ()
    drop: tuple[str, ...] = ()
    calendar: CalendarConfig | None = None
    clock: str = ""

    @property
    def appends(self) -> bool:
        """Whether there are further inputs."""
        further = any(t.type in ("difference", "distance") for t in self.transforms)
        return further or self.calendar is not None
