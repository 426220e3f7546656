"""Channels of numbers or of sound, normalized, with gaps filled and time on a log scale."""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..checks import LARGEST, SMALLEST
from ..errors import SampleError
from . import NUMBERS, Float64, Inputs, as_samples, sample_shape
from .front_end import FrontEnd

Missing = Literal["refuse", "ffill", "mask"]
# In standard deviations from the mean. Products with larger features could overflow float32 and
# leave NaN in the state.
MAX_FEATURE = 1e30
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
        self._check_dt()

    def _check_dt(self) -> None:
        for field in ("dt", "time"):
            value = getattr(self, field)
            _require(isinstance(value, str), f"{field} is {value!r}, expected a name")
        if self.dt:
            known = list(self.channels)
            _require(
                self.dt in known, f"dt is {self.dt!r}, which is not among the channels {known}"
            )
            _require(self.time not in known, f"time is {self.time!r}, which is a channel")
        unit = self.dt_unit
        good = type(unit) in (int, float) and SMALLEST <= unit <= LARGEST
        _require(good, f"dt_unit is {unit!r}, expected {SMALLEST:g} or more")

    @property
    def names(self) -> tuple[str, ...]:
        return self.channels

    @property
    def feature_size(self) -> int:
        return self.size * (2 if self.missing == "mask" else 1)

    @property
    def sound(self) -> FrontEnd | None:
        return self.front_end

    @property
    def elapsed(self) -> str:
        return self.dt

    @property
    def time_column(self) -> str:
        return self.time if self.dt else ""

    @property
    def raw_mean(self) -> tuple[float, ...]:
        """(C,) `mean`, with that of `dt` in seconds."""
        pairs = zip(self.channels, self.mean, strict=True)
        return tuple(self.dt_unit * math.expm1(m) if c == self.dt else m for c, m in pairs)

    @functools.cached_property
    def arrays(self) -> tuple[Float64, Float64, Float64]:
        """(C,) each: `mean`, `std`, and the largest distance from the mean, in raw units."""
        std = np.asarray(self.std, np.float64)
        return np.asarray(self.mean, np.float64), std, MAX_FEATURE * std

    def features(self, xs: ArrayLike) -> tuple[Float64, Float64]:
        """As for `Inputs`, but `dt` is scaled in the filled values."""
        return features(self, xs)

    def preprocessor(
        self, dtype: type[np.floating[Any]], streams: int | None, *, keep_last: bool
    ) -> ChannelPreprocessor:
        return ChannelPreprocessor(self, dtype, streams, keep_last=keep_last)


def scaled(inputs: Channels, xs: Float64) -> Float64:
    """xs: (..., C) raw units -> the same, with `dt` on its logarithmic scale.

    Negative seconds become -inf, which every model refuses.
    """
    if not inputs.dt:
        return xs
    xs = xs.copy()
    channel = inputs.channels.index(inputs.dt)
    seconds = xs[..., channel]
    with np.errstate(over="ignore"):  # infinitely many units are refused as well
        units = np.maximum(seconds, 0) / inputs.dt_unit
    xs[..., channel] = np.where(seconds < 0, -np.inf, np.log1p(units))
    return xs


def features(inputs: Channels, xs: ArrayLike) -> tuple[Float64, Float64]:
    """The features of a whole recording, from its start.

    xs: (steps, C) raw units, NaN for a missing value. Returns (steps, F) normalized features and
    the (steps, C) raw values with the gaps filled (`dt` scaled). Raises SampleError as
    `ChannelPreprocessor` does, naming the step.
    """
    xs = scaled(inputs, as_samples(inputs, xs).astype(np.float64))
    mean, std, _ = inputs.arrays
    filled, centred, missing = _fill(inputs, xs, mean, ("step",))
    normalized = centred / std
    if inputs.missing == "mask":
        normalized = np.concatenate([normalized, missing], axis=1)
    return normalized, filled


def _fill(
    inputs: Channels, xs: Float64, last: Float64, axes: Sequence[str]
) -> tuple[Float64, Float64, NDArray[np.bool_]]:
    """xs: (steps, ..., C), `dt` scaled -> the same with the gaps filled, that less the mean, and
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

    last: (C,) float64 in raw units (`dt` scaled), the latest known value of each channel. (N, C)
    for N streams. It is the state that "ffill" needs.
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
        self._normalized = self._features[..., : inputs.size]
        self._mask = self._features[..., inputs.size :]
        self._keep = inputs.missing == "ffill" or keep_last
        self.last = np.empty(self._shape, np.float64)
        self.reset()

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """streams: the only ones to reset, None for all."""
        self.last[... if streams is None else list(streams)] = self._mean

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x: (C,) raw units -> (F,), (N, C) -> (N, F), in a buffer that the next call overwrites.

        Raises SampleError for a wrong number of values, text, inf, a value more than MAX_FEATURE
        standard deviations from the mean, or a NaN that the model refuses. `last` is then
        unchanged.
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

        The same as a call for each row. Raises SampleError as a call does, naming the row. `last`
        is then unchanged.
        """
        xs = scaled(self._inputs, xs.astype(np.float64))
        rows = np.zeros((len(xs), *self._features.shape), self._features.dtype)
        filled, centred, missing = _fill(self._inputs, xs, self.last, ("row", self._stream))
        rows[..., : self._inputs.size] = centred * self._inverse_std
        if self._inputs.missing == "mask":
            rows[..., self._inputs.size :] = missing
        if self._keep:
            self.last[:] = filled[-1]
        return rows, filled


def _bad_value(inputs: Channels, channel: int, value: float) -> str:
    name = inputs.channels[channel]
    if name == inputs.dt and math.isinf(value):
        return (
            f"channel {name!r} is negative or infinite; "
            "expected the seconds since the sample before, 0 or more"
        )
    if math.isnan(value):
        advice = "send a number, or train with missing = 'ffill' or 'mask'"
        return (
            f"channel {name!r} is NaN and this model was trained with missing = 'refuse'; {advice}"
        )
    if math.isinf(value):
        return f"channel {name!r} is {value}; expected a finite number"
    said = str(value)
    if name == inputs.dt:
        said = f"{inputs.dt_unit * math.expm1(value):g} seconds, on its logarithmic scale"
    return (
        f"channel {name!r} is {said}, more than {MAX_FEATURE:g} standard deviations "
        f"from its mean {inputs.mean[channel]:g}"
    )
