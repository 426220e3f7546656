"""From a raw sample to the network's features: the first part of a specification."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, SampleError
from ..plain import changed
from .text import STANDARD, TextForm

if TYPE_CHECKING:
    from .frames import Sound

Float64 = NDArray[np.float64]
MAX_LOG = 60.0  # on a logarithmic scale: 1e26 units. Keeps an answer far from overflow
NUMBERS = "fiub"  # NumPy's letters for kinds: floating point, integer, unsigned, boolean


class Preprocessor(Protocol):
    """From samples to features, one sample at a time, with the state that this needs.

    last: (C,) float64, raw units: the latest known value of each channel; (N, C) for N streams.
    memory: whatever else it keeps from sample to sample, by names without a dot, NaN for a value
    that is not there yet. {} if it keeps nothing. (N, ...) for N streams. Replace arrays in it, and
    leave them as they are.
    """

    last: Float64
    memory: dict[str, Float64]

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """streams: the only ones to reset, None for all."""

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x: (C,) raw units -> (F,), (N, C) -> (N, F), in a buffer that the next call overwrites.

        Raises SampleError for a sample that can't be used. Nothing has then changed.
        """

    def run(self, xs: NDArray[Any]) -> tuple[NDArray[Any], Float64]:
        """xs: (steps, C), from `as_samples` -> (steps, F), and (steps, C) with the gaps filled.

        The same as a call for each row. Raises SampleError, naming the row. Nothing has then
        changed.
        """


@dataclasses.dataclass(frozen=True)
class Inputs(ABC):
    """The form of a raw sample, and its way to features."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """(C,) the names of the raw values in a sample."""

    @property
    @abstractmethod
    def feature_size(self) -> int:
        """F, the values that enter the network."""

    @property
    def size(self) -> int:
        """C, the raw values in a sample."""
        return len(self.names)

    @property
    def sound(self) -> Sound | None:
        """The way from PCM to the channels. None if the model takes no sound."""
        return None

    @property
    def elapsed(self) -> str:
        """The channel of the seconds since the sample before. "" if there is none."""
        return ""

    @property
    def time_column(self) -> str:
        """The column of times from which `elapsed` can be computed. "" if there is none."""
        return ""

    @property
    def clock(self) -> str:
        """The channel of times, in seconds since 1970, UTC. "" if there is none."""
        return ""

    @property
    def fills_gaps(self) -> bool:
        """Whether a value may be missing."""
        return False

    @property
    def text(self) -> TextForm:
        """How samples are written as text."""
        return STANDARD

    @property
    def sample_dtype(self) -> type[np.floating[Any]]:
        """The least precise type for samples. float32 knows a time to two minutes only."""
        return np.float64 if self.clock else np.float32

    @property
    def log_units(self) -> Mapping[str, float]:
        """The channels on a logarithmic scale, each with its unit. See `from_scale`."""
        return {}

    def in_raw_units(self, filled: Float64) -> Float64:
        """filled: (..., C), as `features` returns them -> the same in raw units."""
        filled = filled.copy()
        for name, unit in self.log_units.items():
            place = self.names.index(name)
            filled[..., place] = from_scale(filled[..., place], unit)
        return filled

    def out_of_range(self, xs: ArrayLike) -> NDArray[np.bool_]:
        """xs: (..., C) raw units -> (..., C) whether a value is far outside of the training's.

        All false if the range is unknown, as of earlier bundles.
        """
        return np.zeros(np.shape(xs), bool)

    @abstractmethod
    def features(self, xs: ArrayLike) -> tuple[Float64, Float64]:
        """The features of a whole recording, from its start.

        xs: (steps, C) raw units, NaN for a missing value. Returns (steps, F) and the values
        (steps, C) with the gaps filled, those of `log_units` on their scale. Raises SampleError as
        a Preprocessor does, naming the step.
        """

    @abstractmethod
    def preprocessor(
        self, dtype: type[np.floating[Any]], streams: int | None, *, keep_last: bool
    ) -> Preprocessor:
        """streams: N, or None for one stream. keep_last: whether the answer needs `last`."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, without the fields that have their default value."""
        return {"kind": self.kind, **changed(self)}


def to_scale(x: ArrayLike, unit: ArrayLike) -> Float64:
    """x >= 0, raw units -> on the logarithmic scale, log(1 + x / unit). A negative x gives -inf."""
    with np.errstate(over="ignore"):  # infinitely many units
        units = np.maximum(x, 0) / unit
    scaled: Float64 = np.where(np.less(x, 0), -np.inf, np.log1p(units))
    return scaled


def from_scale(y: ArrayLike, unit: ArrayLike) -> Float64:
    """The inverse of `to_scale`. y is at most MAX_LOG, beyond which no sensible answer lies."""
    raw: Float64 = unit * np.expm1(np.minimum(y, MAX_LOG))
    return raw


def as_samples(inputs: Inputs, xs: ArrayLike, streams: int | None = None) -> NDArray[Any]:
    """(steps, C) numbers of any kind, (steps, N, C) for N streams.

    Raises SampleError for anything else.
    """
    shape = sample_shape(inputs, streams)
    expected = f"(steps, {', '.join(map(str, shape))})"
    try:
        array = np.asarray(xs)
    except (TypeError, ValueError) as e:
        raise SampleError(f"samples are no table of numbers ({e}); expected {expected}") from e
    if array.shape == (0,):  # an empty list can't say how many columns it has
        array = array.reshape(0, *shape)
    if not array.ndim or array.shape[1:] != shape:
        names = ", ".join(inputs.names)
        raise SampleError(
            f"samples have shape {array.shape}, expected {expected} for channels {names}"
        )
    if array.dtype.kind not in NUMBERS:
        raise SampleError(f"samples have type {array.dtype}, expected numbers")
    check_precision(inputs, array)
    return array


def check_precision(inputs: Inputs, samples: NDArray[Any]) -> None:
    """Raise SampleError if a time was rounded to float32, silently and by up to a minute."""
    if inputs.clock and samples.dtype.kind == "f" and samples.dtype.itemsize < 8:
        raise SampleError(
            f"samples are {samples.dtype}, which rounds the seconds of channel {inputs.clock!r}; "
            "expected float64"
        )


def sound_of(inputs: Inputs) -> Sound:
    """The way from PCM to the channels. Raises ConfigError if the model takes no sound."""
    if inputs.sound is None:
        names = ", ".join((*inputs.names[:8], *(["..."] if inputs.size > 8 else [])))
        raise ConfigError(
            "this model takes no sound: it has no [front_end] or was imported without --rate, and "
            f"reads {names}"
        )
    return inputs.sound


def sample_shape(inputs: Inputs, streams: int | None) -> tuple[int, ...]:
    return (inputs.size,) if streams is None else (streams, inputs.size)
