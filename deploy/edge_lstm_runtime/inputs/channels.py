"""Channels of numbers or of sound, normalized, with gaps filled, and what is derived of them."""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..checks import LARGEST, LATEST, SMALLEST
from ..errors import SampleError
from . import (
    NUMBERS,
    Float64,
    Inputs,
    as_samples,
    check_precision,
    from_scale,
    sample_shape,
    to_scale,
)
from .frames import Frames, Sound
from .front_end import FrontEnd
from .ranges import Limits
from .text import STANDARD, TextForm
from .transforms import MAX_FEATURE, Clip, Derived, Log, Memory, Transform

Missing = Literal["refuse", "ffill", "mask"]
_require = functools.partial(checks.require, "inputs")


@dataclasses.dataclass(frozen=True)
class Channels(Inputs):
    """channels   names of the C raw values of a sample, in order
    mean       (C,) raw units, of the training split only
    std        (C,) raw units, of the training split only, all >= 1e-30
    missing    the treatment of a NaN in a sample. "refuse": it is an error. "ffill": it becomes
               the channel's last value, or its mean if there is none. "mask": it becomes 0 after
               normalization, and C more features are 1 if a value is missing
    front_end  the front end from PCM to the channels, which are its coefficients. None if samples
               come from elsewhere
    dt         the channel of the seconds since the sample before, 0 for the first; "" if there is
               none. Its feature, mean and std are those of log(1 + dt / dt_unit)
    dt_unit    seconds
    time       with `dt`: the column of times from which `edge-lstm run` computes it
    transforms what becomes of the channels, see `transforms`. The channel of times that a calendar
               reads is float64 seconds since 1970, UTC, and is never missing
    drop       the channels that are no features themselves. A channel of times is among them
    text       how samples are written as text
    low, high  (C,) raw units, the extremes of the training split, without known anomalies; () if
               they are unknown. `low` of `dt` is its least value above 0
    frames     the channels are the PCM of a frame as it is, cut as this says. None if they are not

    The features are the channels that are not dropped, then those that the transforms append, in
    their order, then those of "mask".
    Raises BundleError for fields that are out of bounds or contradict each other.
    """

    kind = "channels"
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    missing: Missing = "refuse"
    front_end: FrontEnd | None = None
    dt: str = ""
    dt_unit: float = 1.0
    time: str = ""
    transforms: tuple[Transform, ...] = ()
    drop: tuple[str, ...] = ()
    text: TextForm = STANDARD
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    frames: Frames | None = None

    def __post_init__(self) -> None:
        names = self.channels
        checks.check_names("inputs", "channels", names, 1)
        expected = get_args(Missing)
        _require(
            self.missing in expected, f"missing is {self.missing!r}, expected one of {expected}"
        )
        checks.check_numbers("inputs", "mean", self.mean, len(names))
        checks.check_numbers("inputs", "std", self.std, len(names), SMALLEST)
        if self.front_end is not None:
            _require(isinstance(self.front_end, FrontEnd), f"front_end is {self.front_end!r}")
            made = self.front_end.names
            _require(
                names == made, f"channels are {list(names)}, and the front end makes {list(made)}"
            )
        if self.frames is not None:
            _require(isinstance(self.frames, Frames), f"frames is {self.frames!r}")
            _require(self.front_end is None, "has both front_end and frames, expected one at most")
            length = self.frames.frame_length
            _require(length == len(names), f"has {len(names)} channels, and frames of {length}")
        _require(isinstance(self.text, TextForm), f"text is {self.text!r}, expected its form")
        if self.low or self.high:
            checks.check_numbers("inputs", "low", self.low, len(names))
            checks.check_numbers("inputs", "high", self.high, len(names))
            crossed = [n for n, a, b in zip(names, self.low, self.high, strict=True) if a > b]
            _require(not crossed, f"low is above high for {crossed}")
        self._check_dt()
        self._check_transforms()

    def _check_dt(self) -> None:
        for field in ("dt", "time"):
            value = getattr(self, field)
            _require(isinstance(value, str), f"{field} is {value!r}, expected a name")
        if self.dt:
            known = list(self.channels)
            _require(
                self.dt in known, f"dt is {self.dt!r}, which is not among the channels {known}"
            )
            channel = self.time in known and self.time != self.clock
            _require(not channel, f"time is {self.time!r}, which is a channel")
        unit = self.dt_unit
        good = type(unit) in (int, float) and SMALLEST <= unit <= LARGEST
        _require(good, f"dt_unit is {unit!r}, expected {SMALLEST:g} or more")

    def _check_transforms(self) -> None:
        given = isinstance(self.transforms, tuple)
        good = given and all(isinstance(t, Transform) for t in self.transforms)
        _require(good, f"transforms is {self.transforms!r}, expected a list of transforms")
        times = {t.clock for t in self.transforms} - {"", self.dt}
        one = f"transforms read the times {sorted(times)}, expected one channel of times at most"
        _require(len(times) <= 1, one)
        for transform in self.transforms:
            transform.check(self)
        for kind in (Log, Clip):
            names = [c for t in self.transforms if isinstance(t, kind) for c in t.channels]
            twice = sorted({name for name in names if names.count(name) > 1})
            _require(not twice, f"{twice} have more than one {kind.type} transform")
        checks.check_names("inputs", "drop", self.drop, 0)
        absent = [name for name in self.drop if name not in self.channels]
        _require(not absent, f"drop has {absent}, which are not among the channels")
        dropped = not self.clock or self.clock in self.drop
        _require(dropped, f"drop lacks {self.clock!r}, a time, which is no feature itself")
        centre = self.mean[self.places((self.clock,))[0]] if self.clock else 0
        far = f"mean of the time {self.clock!r} is {centre:g}, expected up to {LATEST:g} seconds"
        _require(abs(centre) <= LATEST, far)
        _require(self.feature_size > 0, "drop leaves no feature")

    @property
    def names(self) -> tuple[str, ...]:
        return self.channels

    @property
    def feature_size(self) -> int:
        masks = self.size if self.missing == "mask" else 0
        return len(self.kept) + sum(len(t.names) for t in self.derived) + masks

    @property
    def feature_names(self) -> tuple[str, ...]:
        """(F,)"""
        masks = self.channels if self.missing == "mask" else ()
        return (
            *(self.channels[k] for k in self.kept),
            *(name for t in self.derived for name in t.names),
            *(f"{name} is missing" for name in masks),
        )

    @functools.cached_property
    def kept(self) -> list[int]:
        """The indices of the channels that are features, the first ones."""
        return [k for k, name in enumerate(self.channels) if name not in self.drop]

    @functools.cached_property
    def derived(self) -> tuple[Derived, ...]:
        """The transforms that append features."""
        return tuple(t for t in self.transforms if isinstance(t, Derived))

    def places(self, names: Sequence[str]) -> list[int]:
        """The indices of channels."""
        return [self._place[name] for name in names]

    @functools.cached_property
    def _place(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.channels)}

    @property
    def fills_gaps(self) -> bool:
        return self.missing != "refuse"

    @property
    def sound(self) -> Sound | None:
        return self.front_end if self.frames is None else self.frames

    @property
    def elapsed(self) -> str:
        return self.dt

    @property
    def time_column(self) -> str:
        return self.time if self.dt else ""

    @functools.cached_property
    def clock(self) -> str:
        return next((t.clock for t in self.transforms if t.clock not in ("", self.dt)), "")

    @functools.cached_property
    def log_units(self) -> Mapping[str, float]:
        units = {self.dt: float(self.dt_unit)} if self.dt else {}
        for transform in self.transforms:
            if isinstance(transform, Log):
                units |= dict(zip(transform.channels, transform.units, strict=True))
        return units

    @property
    def raw_mean(self) -> tuple[float, ...]:
        """(C,) `mean`, in raw units for the channels on a logarithmic scale too."""
        return tuple(self.in_raw_units(self.arrays[0]).tolist())

    @functools.cached_property
    def arrays(self) -> tuple[Float64, Float64, Float64]:
        """(C,) each: `mean`, `std`, and the largest distance from the mean, on the channel's
        scale."""
        std = np.asarray(self.std, np.float64)
        largest = MAX_FEATURE * std
        if self.clock:
            largest[self._place[self.clock]] = LATEST
        return np.asarray(self.mean, np.float64), std, largest

    @functools.cached_property
    def limits(self) -> Limits | None:
        """None if the training's range is unknown."""
        if not self.low:
            return None
        dt, clock = (self._place.get(name) for name in (self.dt, self.clock))
        return Limits.of(self.low, self.high, dt, clock)

    def out_of_range(self, xs: ArrayLike) -> NDArray[np.bool_]:
        limits = self.limits
        return super().out_of_range(xs) if limits is None else limits.exceeded(xs)

    def features(self, xs: ArrayLike) -> tuple[Float64, Float64]:
        return features(self, xs)

    def preprocessor(
        self, dtype: type[np.floating[Any]], streams: int | None, *, keep_last: bool
    ) -> ChannelPreprocessor:
        return ChannelPreprocessor(self, dtype, streams, keep_last=keep_last)


def scaled(inputs: Channels, xs: Float64) -> Float64:
    """xs: (..., C) raw units -> the same, with the channels of `log_units` on their scale.

    Negative values become -inf there, which every model refuses.
    """
    if not inputs.log_units:
        return xs
    xs = xs.copy()
    for name, unit in inputs.log_units.items():
        (channel,) = inputs.places((name,))
        xs[..., channel] = to_scale(xs[..., channel], unit)
    return xs


def features(inputs: Channels, xs: ArrayLike) -> tuple[Float64, Float64]:
    """The features of a whole recording, from its start.

    xs: (steps, C) raw units, NaN for a missing value. Returns (steps, F) normalized features and
    the (steps, C) values with the gaps filled, scaled as by `scaled`. Raises SampleError as
    `ChannelPreprocessor` does, naming the step.
    """
    xs = scaled(inputs, as_samples(inputs, xs).astype(np.float64))
    mean, std, _ = inputs.arrays
    filled, centred, missing = _fill(inputs, xs, mean, ("step",))
    if inputs.transforms or inputs.drop:
        return derived(inputs, filled, missing, no_memory(inputs, ()))[0], filled
    normalized = np.divide(centred, std, out=centred)
    if inputs.missing == "mask":
        normalized = np.concatenate([normalized, missing], axis=1)
    return normalized, filled


def no_memory(inputs: Channels, batch: tuple[int, ...]) -> Memory:
    """The memory before the first sample. batch: (N,) for N streams, () for one."""
    return {
        _named(k, transform, name): np.full((*batch, *shape), np.nan)
        for k, transform in enumerate(inputs.derived)
        for name, shape in transform.memory.items()
    }


def _named(number: int, transform: Derived, name: str) -> str:
    """In a session's state. A network's names have a dot."""
    return f"{transform.type}{number}_{name}"


def derived(
    inputs: Channels, filled: Float64, missing: NDArray[np.bool_], memory: Memory
) -> tuple[Float64, Memory]:
    """All features of inputs with transforms, and the memory after them.

    filled, missing: (steps, ..., C) from `_fill`. memory: before them; it stays as it is.
    """
    mean, std, _ = inputs.arrays
    clipped = filled
    for transform in inputs.transforms:
        if isinstance(transform, Clip):
            places = inputs.places(transform.channels)
            clipped = clipped.copy()
            clipped[..., places] = np.clip(clipped[..., places], transform.low, transform.high)
    parts = [((clipped - mean) / std)[..., inputs.kept]]
    after: Memory = {}
    for k, transform in enumerate(inputs.derived):
        own = {name: memory[_named(k, transform, name)] for name in transform.memory}
        values, own = transform.values(inputs, filled, clipped, own)
        after |= {_named(k, transform, name): array for name, array in own.items()}
        if transform.normalization is not None:
            centre, spread = transform.normalization
            values = np.clip((values - centre) / spread, -MAX_FEATURE, MAX_FEATURE)
        parts.append(values)
    if inputs.missing == "mask":
        parts.append(missing.astype(np.float64))
    return np.concatenate(parts, axis=-1), after


def _fill(
    inputs: Channels, xs: Float64, last: Float64, axes: Sequence[str]
) -> tuple[Float64, Float64, NDArray[np.bool_]]:
    """xs: (steps, ..., C), `scaled` -> the same with the gaps filled, that less the mean, and
    whether each was missing.

    last: (C,) or (..., C), the values before the first row. axes: the names of the axes before C
    for the message, "" for one that it doesn't name. Raises SampleError for the first bad value.
    """
    mean, _, largest = inputs.arrays
    centred = xs - mean
    distance = np.abs(centred)
    if (distance <= largest).all():  # NaN fails the test. So nothing is missing
        return xs, centred, np.zeros(xs.shape, bool)
    missing = np.isnan(xs)
    bad = distance > largest
    if inputs.missing == "refuse":
        bad |= missing
    elif inputs.clock:
        (clock,) = inputs.places((inputs.clock,))
        bad[..., clock] |= missing[..., clock]
    if bad.any():
        place = tuple(np.argwhere(bad)[0])
        at = "".join(f"{axis} {n}: " for axis, n in zip(axes, place, strict=False) if axis)
        raise SampleError(at + _bad_value(inputs, int(place[-1]), xs[place]))
    if inputs.missing == "ffill":
        filled = _filled_forward(xs, missing, last)
    else:
        filled = np.where(missing, mean, xs)
    return filled, filled - mean, missing


def _filled_forward(xs: Float64, missing: NDArray[np.bool_], last: Float64) -> Float64:
    if len(xs) == 1:  # a step, which must be fast
        return np.where(missing, last, xs)
    rows = np.arange(len(xs)).reshape(-1, *[1] * (xs.ndim - 1))
    source = np.maximum.accumulate(np.where(missing, -1, rows), axis=0)
    known = np.take_along_axis(xs, np.maximum(source, 0), axis=0)
    return np.where(source < 0, last, known)


class ChannelPreprocessor:
    """`features`, one sample at a time, or N samples at a time for N streams.

    last: (C,) float64, `scaled`, the latest known value of each channel. (N, C) for N streams. It
    is the state that "ffill" needs.
    memory: that of the transforms.
    """

    def __init__(
        self,
        inputs: Channels,
        dtype: type[np.floating[Any]],
        streams: int | None,
        *,
        keep_last: bool,
    ):
        self._inputs = inputs
        self._single = streams is None
        self._stream = "" if streams is None else "stream"
        self._mean, std, largest = inputs.arrays
        self._inverse_std = 1.0 / std
        self._surely_good = float(largest.min())
        self._shape = sample_shape(inputs, streams)
        # Float64, because float32 would lose digits to a large offset such as 101,325 Pa.
        self._centred = np.zeros(self._shape, np.float64)
        self._features = np.zeros((*self._shape[:-1], inputs.feature_size), dtype)
        self._derives = bool(inputs.transforms or inputs.drop)
        self._normalized = self._features[..., : inputs.size]
        self._mask = self._features[..., inputs.size :]
        self._keep = inputs.missing == "ffill" or keep_last
        self.last = np.empty(self._shape, np.float64)
        self.memory = no_memory(inputs, self._shape[:-1])
        self.reset()

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """streams: the only ones to reset, None for all."""
        chosen: Any = ... if streams is None else list(streams)
        self.last[chosen] = self._mean
        for name, before in self.memory.items():
            self.memory[name] = before.copy()
            self.memory[name][chosen] = np.nan

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x: (C,) raw units -> (F,), (N, C) -> (N, F), in a buffer that the next call overwrites.

        Raises SampleError for a wrong number of values, text, inf, a value more than MAX_FEATURE
        standard deviations from the mean, or a NaN that the model refuses. Nothing has then
        changed.
        """
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as e:
            raise SampleError(
                f"sample {reprlib.repr(x)} is no list of numbers; "
                f"expected {' x '.join(map(str, self._shape))}"
            ) from e
        if x.shape != self._shape:
            raise SampleError(
                f"sample has shape {x.shape}, expected {self._shape} "
                f"for channels {', '.join(self._inputs.channels)}"
            )
        if x.dtype.kind not in NUMBERS:
            raise SampleError(
                f"sample {reprlib.repr(x.tolist())} is not numeric; "
                f"expected {' x '.join(map(str, self._shape))} numbers"
            )
        if self._derives:
            check_precision(self._inputs, x)
            self._features[:] = self._advance(x[None], ("", self._stream))[0][0]
            return self._features
        if self._inputs.dt:
            x = scaled(self._inputs, x.astype(np.float64))
        centred = self._centred
        centred[:] = x
        np.subtract(centred, self._mean, centred)
        # One test in place of several: the distance is not below the limit if a value is NaN, inf
        # or perhaps too far off. For a few channels, Python's hypot is faster than NumPy, without
        # a warning if squares overflow. For several streams, the largest value serves as well.
        distance = math.hypot(*centred.tolist()) if self._single else np.abs(centred).max()
        if not distance < self._surely_good:
            row = np.asarray(x, np.float64)[None]
            (x,), (centred[:],), (missing,) = _fill(
                self._inputs, row, self.last, ("", self._stream)
            )
            if self._mask.size:
                self._mask[:] = missing
        elif self._mask.size:
            self._mask[:] = 0
        if self._keep:
            self.last[:] = x
        np.multiply(centred, self._inverse_std, centred)
        self._normalized[:] = centred
        return self._features

    def run(self, xs: NDArray[Any]) -> tuple[NDArray[Any], Float64]:
        """xs: (steps, C), from `as_samples` -> (steps, F), and (steps, C) with the gaps filled.

        The same as a call for each row. Raises SampleError as a call does, naming the row. Nothing
        has then changed.
        """
        if self._derives:
            rows, filled = self._advance(xs, ("row", self._stream))
            return rows.astype(self._features.dtype), filled
        xs = scaled(self._inputs, xs.astype(np.float64))
        rows = np.zeros((len(xs), *self._features.shape), self._features.dtype)
        filled, centred, missing = _fill(self._inputs, xs, self.last, ("row", self._stream))
        rows[..., : self._inputs.size] = centred * self._inverse_std
        if self._inputs.missing == "mask":
            rows[..., self._inputs.size :] = missing
        if self._keep:
            self.last[:] = filled[-1]
        return rows, filled

    def _advance(self, xs: NDArray[Any], axes: Sequence[str]) -> tuple[Float64, Float64]:
        """xs: (steps, ..., C), at least one -> features and filled values, of inputs that derive.

        axes: as for `_fill`.
        """
        inputs = self._inputs
        scaled_xs = scaled(inputs, xs.astype(np.float64))
        filled, _, missing = _fill(inputs, scaled_xs, self.last, axes)
        rows, self.memory = derived(inputs, filled, missing, self.memory)
        if self._keep:
            self.last[:] = filled[-1]
        return rows, filled


def _bad_value(inputs: Channels, channel: int, value: float) -> str:
    name = inputs.channels[channel]
    if name in inputs.log_units and math.isinf(value):
        expected = "0 or more, because its scale is logarithmic"
        if name == inputs.dt:
            expected = "the seconds since the sample before, 0 or more"
        return f"channel {name!r} is negative or infinite; expected {expected}"
    if name == inputs.clock:
        return f"channel {name!r} is {value:.10g}; expected seconds since 1970 (UTC), in float64"
    if math.isnan(value):
        return f"channel {name!r} is NaN and this model has missing = 'refuse'; send a number"
    if math.isinf(value):
        return f"channel {name!r} is {value}; expected a finite number"
    said = str(value)
    if name in inputs.log_units:
        unit = " seconds" if name == inputs.dt else ""
        raw = float(from_scale(value, inputs.log_units[name]))
        said = f"{raw:g}{unit}, on its logarithmic scale"
    return (
        f"channel {name!r} is {said}, more than {MAX_FEATURE:g} standard deviations "
        f"from its mean {inputs.mean[channel]:g}"
    )
