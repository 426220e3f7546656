"""From raw samples to the network's features, and from its outputs to answers: the same code at training and on the board."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SampleError
from ..model.spec import VOCABULARY, ModelSpec
from .characters import one_hot

Float64 = NDArray[np.float64]
MAX_FEATURE = 1e30  # deviations from the mean: sums of products with anything larger could overflow float32 and leave NaN in the state
TOLD = 5  # characters that an answer of task "language" is described by
NUMBERS = "fiub"  # NumPy's letters for kinds: floating point, integer, unsigned, boolean


def as_samples(spec: ModelSpec, xs: ArrayLike, streams: int | None = None) -> NDArray[Any]:
    """(steps, C) numbers of any kind, (steps, N, C) for N streams; SampleError for anything else."""
    shape = _sample_shape(spec, streams)
    expected = f"(steps, {', '.join(map(str, shape))})"
    try:
        array = np.asarray(xs)
    except (TypeError, ValueError) as e:
        raise SampleError(f"samples are no table of numbers ({e}); expected {expected}") from e
    if array.shape == (0,):  # an empty list can't say how many columns it has
        array = array.reshape(0, *shape)
    if not array.ndim or array.shape[1:] != shape:
        raise SampleError(
            f"samples have shape {array.shape}, expected {expected} for channels {', '.join(spec.channels)}"
        )
    if array.dtype.kind not in NUMBERS:
        raise SampleError(f"samples have type {array.dtype}, expected numbers")
    return array


def _sample_shape(spec: ModelSpec, streams: int | None) -> tuple[int, ...]:
    return (spec.input_size,) if streams is None else (streams, spec.input_size)


def scaled(spec: ModelSpec, xs: Float64) -> Float64:
    """xs: (..., C) raw units -> the same, the seconds of `dt` on its logarithmic scale; what is negative is -inf, which no model takes."""
    if not spec.dt:
        return xs
    xs, channel = xs.copy(), spec.channels.index(spec.dt)
    seconds = xs[..., channel]
    xs[..., channel] = np.where(
        seconds < 0, -np.inf, np.log1p(np.maximum(seconds, 0) / spec.dt_unit)
    )
    return xs


def features(spec: ModelSpec, xs: ArrayLike) -> tuple[Float64, Float64]:
    """The features of a whole recording, from its start.

    xs: (steps, C) raw units, NaN where missing. Returns (steps, F) normalised features and the (steps, C) raw values with the gaps
    filled (`dt` scaled). Raises SampleError as `Preprocessor` does, naming the step.
    """
    xs = as_samples(spec, xs).astype(np.float64)
    if spec.task == "language":
        return one_hot(spec, xs, "step"), xs
    xs = scaled(spec, xs)
    mean, std = np.asarray(spec.input_mean, np.float64), np.asarray(spec.input_std, np.float64)
    missing = np.isnan(xs)
    bad = (np.abs(xs - mean) > MAX_FEATURE * std) | (missing if spec.missing == "refuse" else False)
    if bad.any():
        step, channel = np.argwhere(bad)[0]
        raise SampleError(f"step {step}: {_bad_value(spec, int(channel), xs[step, channel])}")
    filled = xs
    if missing.any():
        if spec.missing == "ffill":
            seen = np.where(missing, -1, np.arange(len(xs))[:, None])
            source = np.maximum.accumulate(seen, axis=0)
            filled = np.where(
                source < 0, mean, np.take_along_axis(xs, np.maximum(source, 0), axis=0)
            )
        else:
            filled = np.where(missing, mean, xs)
    normalised = (filled - mean) / std
    return (
        np.concatenate([normalised, missing], axis=1) if spec.missing == "mask" else normalised
    ), filled


class Preprocessor:
    """`features`, a sample at a time, with the little state that "ffill" needs; for N streams, N samples at a time.

    last: (C,) float64, raw units (`dt` scaled): the latest known value of each channel; (N, C) for N streams.
    """

    def __init__(
        self,
        spec: ModelSpec,
        dtype: type[np.floating[Any]] = np.float32,
        streams: int | None = None,
    ):
        self._spec = spec
        self._single = streams is None
        self._mean = np.asarray(spec.input_mean, np.float64)
        self._inverse_std = 1.0 / np.asarray(spec.input_std, np.float64)
        self._largest = MAX_FEATURE * np.asarray(
            spec.input_std, np.float64
        )  # distance from the mean, raw units
        self._surely_good = float(self._largest.min())
        self._shape = _sample_shape(spec, streams)
        # Subtracting in float64 keeps what a large offset (101,325 Pa, say) would cost in float32.
        self._centred = np.zeros(self._shape, np.float64)
        self._features = np.zeros((*self._shape[:-1], spec.feature_size), dtype)
        self._normalised = self._features[..., : spec.input_size]
        self._mask = self._features[..., spec.input_size :]
        self._keep = spec.missing == "ffill" or spec.residual
        self.last = np.empty(self._shape, np.float64)
        self.reset()

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """streams: the only ones; None for all there is."""
        self.last[... if streams is None else list(streams)] = self._mean

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x: (C,) raw units -> (F,) features, (N, C) -> (N, F) for N streams, in a buffer that the next call overwrites.

        Raises SampleError on a wrong number of values, text, inf or values as far off, or a NaN where the model refuses it; `last` is
        then unchanged.
        """
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as e:
            raise SampleError(
                f"sample {reprlib.repr(x)} is no list of numbers; expected {' x '.join(map(str, self._shape))}"
            ) from e
        if x.shape != self._shape:
            raise SampleError(
                f"sample has shape {x.shape}, expected {self._shape} for channels {', '.join(self._spec.channels)}"
            )
        if x.dtype.kind not in NUMBERS:
            raise SampleError(
                f"sample {reprlib.repr(x.tolist())} is not numeric; expected {' x '.join(map(str, self._shape))} numbers"
            )
        if self._spec.dt:
            x = scaled(self._spec, x.astype(np.float64))
        centred = self._centred
        centred[:] = x
        np.subtract(centred, self._mean, centred)
        # One length instead of several tests: not below the limit for NaN, for inf, and for values that may be too far off. For a few
        # channels Python's is faster than NumPy's, and it doesn't warn when squares overflow; for many the largest value will do.
        if (
            not (math.hypot(*centred.tolist()) if self._single else np.abs(centred).max())
            < self._surely_good
        ):
            x = self._fill(np.asarray(x, np.float64))
        elif self._mask.size:
            self._mask[:] = 0
        if self._keep:
            self.last[:] = x
        np.multiply(centred, self._inverse_std, centred)
        self._normalised[:] = centred
        return self._features

    def run(self, xs: NDArray[Any]) -> tuple[NDArray[Any], Float64]:
        """xs: (steps, C), as of `as_samples` -> (steps, F), the same as a call for each row, and the raw samples (steps, C), gaps filled.

        Raises SampleError, naming the row, as a call does; `last` is then as before.
        """
        raw = xs.astype(np.float64)
        xs = scaled(self._spec, raw)
        rows = np.zeros((len(xs), *self._features.shape), self._features.dtype)
        centred = xs - self._mean
        if (
            np.abs(centred) <= self._largest
        ).all():  # which NaN is not: nothing is missing, and all rows can be done at once
            rows[..., : self._spec.input_size] = centred * self._inverse_std
            if self._keep:
                self.last[:] = xs[-1]
            return rows, xs
        before, filled = self.last.copy(), np.empty(xs.shape)
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
            missing if self._spec.missing == "refuse" else False
        )
        if bad.any():
            place = tuple(np.argwhere(bad)[0])
            stream = "" if self._single else f"stream {place[0]}: "
            raise SampleError(stream + _bad_value(self._spec, int(place[-1]), x[place]))
        filled = np.where(missing, self.last if self._spec.missing == "ffill" else self._mean, x)
        np.subtract(filled, self._mean, self._centred)
        if self._mask.size:
            self._mask[:] = missing
        return filled


class CharacterPreprocessor(Preprocessor):
    """Of task "language": an index into the characters -> its one-hot row. Nothing is kept from one to the next."""

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x: (1,) -> (F,), (N, 1) -> (N, F) for N streams, in a buffer that the next call overwrites.

        Raises SampleError for what is no index of a character.
        """
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as e:
            raise SampleError(
                f"sample {reprlib.repr(x)} is no list of numbers; expected {' x '.join(map(str, self._shape))}"
            ) from e
        if x.shape != self._shape or x.dtype.kind not in NUMBERS:
            raise SampleError(
                f"sample {reprlib.repr(x.tolist())} is no index of a character; expected {' x '.join(map(str, self._shape))}"
            )
        if (
            self._single and 0 <= (value := x.item()) < len(self._features) and value == int(value)
        ):  # many times faster than `one_hot`
            self._features[:] = 0
            self._features[int(value)] = 1
        else:
            self._features[:] = one_hot(self._spec, x, "" if self._single else "stream")
        return self._features

    def run(self, xs: NDArray[Any]) -> tuple[NDArray[Any], Float64]:
        return one_hot(self._spec, xs, "row").astype(self._features.dtype), xs.astype(np.float64)


def preprocessor(
    spec: ModelSpec, dtype: type[np.floating[Any]] = np.float32, streams: int | None = None
) -> Preprocessor:
    """The one that the task needs."""
    return (CharacterPreprocessor if spec.task == "language" else Preprocessor)(
        spec, dtype, streams
    )


def _bad_value(spec: ModelSpec, channel: int, value: float) -> str:
    name = spec.channels[channel]
    if name == spec.dt and not math.isnan(value):
        return f"channel {name!r} is negative or infinite; expected the seconds since the sample before, 0 or more"
    if math.isnan(value):
        advice = "send a number, or train with missing = 'ffill' or 'mask'"
        return (
            f"channel {name!r} is NaN and this model was trained with missing = 'refuse'; {advice}"
        )
    if math.isinf(value):
        return f"channel {name!r} is {value}; expected a finite number"
    return f"channel {name!r} is {value}, more than {MAX_FEATURE:g} standard deviations from its mean {spec.input_mean[channel]:g}"


class Postprocessor:
    """Network outputs (..., O) -> answers (..., O): logits for "classify" and "language", else raw units."""

    def __init__(self, spec: ModelSpec):
        self.identity = spec.task in VOCABULARY
        self._offset = np.asarray(spec.output_offset, np.float64)
        self._scale = np.asarray(spec.output_scale, np.float64)
        self._residual_channels = spec.target_channels * spec.horizon if spec.residual else None

    def __call__(self, outputs: NDArray[Any], filled: Float64) -> NDArray[Any]:
        """outputs: (..., O); filled: (..., C) the raw samples, gaps filled. The dtype of `outputs` is kept."""
        if self.identity:
            return outputs
        answer = outputs * self._scale + self._offset
        if self._residual_channels is not None:
            answer += filled[..., self._residual_channels]
        return answer.astype(outputs.dtype)


def describe(spec: ModelSpec, answer: NDArray[Any]) -> dict[str, Any]:
    """An answer (O,) as a JSON object: the label and every class's probability (softmax of the logits), the likeliest
    next characters and the probability of each, each target's forecast, or each target's value."""
    if spec.task == "regress":
        return {"value": {t: float(v) for t, v in zip(spec.targets, answer, strict=True)}}
    if spec.task == "forecast":
        steps = answer.reshape(spec.horizon, len(spec.targets))
        return {
            "forecast": {t: [float(v) for v in steps[:, j]] for j, t in enumerate(spec.targets)}
        }
    exponentials = np.exp(answer.astype(np.float64) - answer.max())
    probabilities = exponentials / exponentials.sum()
    shown = (
        range(len(probabilities))
        if spec.task == "classify"
        else np.argsort(-probabilities, kind="stable")[:TOLD].tolist()
    )
    return {
        "label": spec.classes[int(answer.argmax())],
        "probabilities": {spec.classes[k]: round(float(probabilities[k]), 6) for k in shown},
    }
