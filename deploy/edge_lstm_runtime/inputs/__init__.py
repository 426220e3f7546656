"""From a raw sample to the network's features: the first part of a specification."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, SampleError

if TYPE_CHECKING:
    from .front_end import FrontEnd

Float64 = NDArray[np.float64]
NUMBERS = "fiub"  # NumPy's letters for kinds: floating point, integer, unsigned, boolean


class Preprocessor(Protocol):
    """From samples to features, one sample at a time, with the state that this needs.

    last: (C,) float64, raw units: the latest known value of each channel; (N, C) for N streams.
    """

    last: Float64

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """streams: the only ones to reset, None for all."""

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x: (C,) raw units -> (F,), (N, C) -> (N, F), in a buffer that the next call overwrites.

        Raises SampleError for a sample that can't be used. `last` is then unchanged.
        """

    def run(self, xs: NDArray[Any]) -> tuple[NDArray[Any], Float64]:
        """xs: (steps, C), from `as_samples` -> (steps, F), and (steps, C) with the gaps filled.

        The same as a call for each row. Raises SampleError, naming the row. `last` is then
        unchanged.
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
    def sound(self) -> FrontEnd | None:
        """The front end from PCM to the channels. None if the model takes no sound."""
        return None

    @property
    def elapsed(self) -> str:
        """The channel of the seconds since the sample before. "" if there is none."""
        return ""

    @property
    def time_column(self) -> str:
        """The column of times from which `elapsed` can be computed. "" if there is none."""
        return ""

    @abstractmethod
    def features(self, xs: ArrayLike) -> tuple[Float64, Float64]:
        """The features of a whole recording, from its start.

        xs: (steps, C) raw units, NaN for a missing value. Returns (steps, F) and the raw values
        (steps, C) with the gaps filled. Raises SampleError as a Preprocessor does, naming the step.
        """

    @abstractmethod
    def preprocessor(
        self, dtype: type[np.floating[Any]], streams: int | None, *, keep_last: bool
    ) -> Preprocessor:
        """streams: N, or None for one stream. keep_last: whether the answer needs `last`."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, without the fields that have their default value."""
        values = {"kind": self.kind}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING or value != field.default:
                values[field.name] = plain(value)
        return values


def plain(value: Any) -> Any:
    """Dataclasses and tuples as the objects and lists of JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name)) for f in fields}
    return [plain(v) for v in value] if isinstance(value, tuple) else value


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
    return array


def sound_of(inputs: Inputs) -> FrontEnd:
    """The front end from PCM to the channels. Raises ConfigError if the model takes no sound."""
    if inputs.sound is None:
        raise ConfigError(
            "this model takes no sound: it was trained without [front_end], "
            f"on {', '.join(inputs.names)}"
        )
    return inputs.sound


def sample_shape(inputs: Inputs, streams: int | None) -> tuple[int, ...]:
    return (inputs.size,) if streams is None else (streams, inputs.size)
