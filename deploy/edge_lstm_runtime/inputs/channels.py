"""Channels of numbers or of sound, normalized, with gaps filled and time on a log scale."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BundleError, SampleError
from . import NUMBERS, Float64, Inputs, as_samples, sample_shape
from .front_end import FrontEnd

Missing = Literal["refuse", "ffill", "mask"]
LARGEST = 1e30  # of a mean or deviation: keeps sums and products far from overflow
SMALLEST_STD = 1e-30
# In standard deviations from the mean. Products with larger features could overflow float32 and
# leave NaN in the state.
MAX_FEATURE = 1e30


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
        good = isinstance(names, tuple) and all(isinstance(n, str) for n in names)
        _require(good, f"channels is {names!r}, expected a list of names")
        _require(len(set(names)) == len(names), f"channels repeat a name: {names}")
        _require(len(names) > 0, "no input channels")
        expected = get_args(Missing)
        _require(
            self.missing in expected, f"missing is {self.missing!r}, expected one of {expected}"
        )
        for field, least in (("mean", -LARGEST), ("std", SMALLEST_STD)):
            values = getattr(self, field)
            good = isinstance(values, tuple) and all(
                type(v) in (int, float) and least <= v <= LARGEST for v in values
            )
            _require(good, f"{field} is {values!r}, expected numbers from {least:g} to {LARGEST:g}")
            _require(
                len(values) == len(names),
                f"{field} has {len(values)} values for {len(names)} channels",
            )
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
        good = type(unit) in (int, float) and SMALLEST_STD <= unit <= LARGEST
        _require(good, f"dt_unit is {unit!r}, expected {SMALLEST_STD:g} or more")

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

    def features(self, xs: ArrayLike) -> tuple[Float64, Float64]:
        """As for `Inputs`, but `dt` is scaled in the filled values."""
        return features(self, xs)

    def preprocessor(
        self, dtype: type[np.floating[Any]], streams: int | None, *, keep_last: bool
    ) -> ChannelPreprocessor:
        return ChannelPreprocessor(self, dtype, streams, keep_last=keep_last)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise BundleError(f"inputs: {what}")


def scaled(inputs: Channels, xs: Float64) -> Float64:
    """xs: (..., C) raw units -> the same, with `dt` on its logarithmic scale.

    Negative seconds become -inf, which every model refuses.
    """
    if not inputs.dt:
        return xs
    xs = xs.copy()
    channel = inputs.channels.index(inputs.dt)
    seconds = xs[..., channel]
    xs[..., channel] = np.where(
        seconds < 0, -np.inf, np.log1p(np.maximum(seconds, 0) / inputs.dt_unit)
    )
    return xs


def features(inputs: Channels, xs: ArrayLike) -> tuple[Float64, Float64]:
    """The features of a whole recording, from its start.

    xs: (steps, C) raw units, NaN for a missing value. Returns (steps, F) normalized features and
    the (steps, C) raw values with the gaps filled (`dt` scaled). Raises SampleError as
    `ChannelPreprocessor` does, naming the step.
    """
    xs = as_samples(inputs, xs).astype(np.float64)
    xs = scaled(inputs, xs)
    mean = np.asarray(inputs.mean, np.float64)
    std = np.asarray(inputs.std, np.float64)
    missing = np.isnan(xs)
    bad = (np.abs(xs - mean) > MAX_FEATURE * std) | (
        missing if inputs.missing == "refuse" else False
    )
    if bad.any():
        step, channel = np.argwhere(bad)[0]
        raise SampleError(f"step {step}: {_bad_value(inputs, int(channel), xs[step, channel])}")
    filled = xs
    if missing.any():
        if inputs.missing == "ffill":
            seen = np.where(missing, -1, np.arange(len(xs))[:, None])
            source = np.maximum.accumulate(seen, axis=0)
            filled = np.where(
                source < 0, mean, np.take_along_axis(xs, np.maximum(source, 0), axis=0)
            )
        else:
            filled = np.where(missing, mean, xs)
    normalized = (filled - mean) / std
    if inputs.missing == "mask":
        normalized = np.concatenate([normalized, missing], axis=1)
    return normalized, filled


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
        self._mean = np.asarray(inputs.mean, np.float64)
        self._inverse_std = 1.0 / np.asarray(inputs.std, np.float64)
        # The largest distance from the mean, in raw units.
        self._largest = MAX_FEATURE * np.asarray(inputs.std, np.float64)
        self._surely_good = float(self._largest.min())
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
            x = self._fill(np.asarray(x, np.float64))
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
        raw = xs.astype(np.float64)
        xs = scaled(self._inputs, raw)
        rows = np.zeros((len(xs), *self._features.shape), self._features.dtype)
        centred = xs - self._mean
        # NaN fails the test. So nothing is missing, and all rows can be computed at once.
        if (np.abs(centred) <= self._largest).all():
            rows[..., : self._inputs.size] = centred * self._inverse_std
            if self._keep:
                self.last[:] = xs[-1]
            return rows, xs
        before = self.last.copy()
        filled = np.empty(xs.shape)
        for n, x in enumerate(raw):
            try:
                rows[n] = self(x)
            except SampleError as e:
                self.last[:] = before
                raise SampleError(f"row {n}: {e}") from e
            filled[n] = self.last
        return rows, filled

    def _fill(self, x: Float64) -> Float64:
        missing = np.isnan(x)
        bad = (np.abs(x - self._mean) > self._largest) | (
            missing if self._inputs.missing == "refuse" else False
        )
        if bad.any():
            place = tuple(np.argwhere(bad)[0])
            stream = "" if self._single else f"stream {place[0]}: "
            raise SampleError(stream + _bad_value(self._inputs, int(place[-1]), x[place]))
        filled = np.where(missing, self.last if self._inputs.missing == "ffill" else self._mean, x)
        np.subtract(filled, self._mean, self._centred)
        if self._mask.size:
            self._mask[:] = missing
        return filled


def _bad_value(inputs: Channels, channel: int, value: float) -> str:
    name = inputs.channels[channel]
    if name == inputs.dt and not math.isnan(value):
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
    return (
        f"channel {name!r} is {value}, more than {MAX_FEATURE:g} standard deviations "
        f"from its mean {inputs.mean[channel]:g}"
    )
