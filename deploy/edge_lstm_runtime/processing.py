"""From raw samples to the network's features, and from its outputs to answers: the same code at training and on the board."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import SampleError
from .spec import ModelSpec

Float64 = NDArray[np.float64]


def features(spec: ModelSpec, xs: ArrayLike) -> tuple[Float64, Float64]:
    """The features of a whole recording, from its start.

    xs: (steps, C) raw units, NaN where missing. Returns (steps, F) normalised features and the (steps, C) raw values with the gaps
    filled. Raises SampleError as `Preprocessor` does, naming the step.
    """
    xs = np.asarray(xs, dtype=np.float64)
    if xs.ndim != 2 or xs.shape[1] != spec.input_size:
        raise SampleError(f"samples have shape {xs.shape}, expected (steps, {spec.input_size}) for channels {list(spec.channels)}")
    missing = np.isnan(xs)
    bad = np.isinf(xs) | (missing if spec.missing == "refuse" else False)
    if bad.any():
        step, channel = np.argwhere(bad)[0]
        raise SampleError(f"step {step}: {_bad_value(spec, int(channel), xs[step, channel])}")
    mean = np.asarray(spec.input_mean)
    filled = xs
    if missing.any():
        if spec.missing == "ffill":
            seen = np.where(missing, -1, np.arange(len(xs))[:, None])
            source = np.maximum.accumulate(seen, axis=0)
            filled = np.where(source < 0, mean, np.take_along_axis(xs, np.maximum(source, 0), axis=0))
        else:
            filled = np.where(missing, mean, xs)
    normalised = (filled - mean) / np.asarray(spec.input_std)
    return (np.concatenate([normalised, missing], axis=1) if spec.missing == "mask" else normalised), filled


class Preprocessor:
    """`features`, a sample at a time, with the little state that "ffill" needs.

    last: (C,) float64, raw units: the latest known value of each channel.
    """

    def __init__(self, spec: ModelSpec, dtype: type[np.floating[Any]] = np.float32):
        self._spec = spec
        self._mean = np.asarray(spec.input_mean, np.float64)
        self._inverse_std = 1.0 / np.asarray(spec.input_std, np.float64)
        self._shape = (spec.input_size,)
        # Subtracting in float64 keeps what a large offset (101,325 Pa, say) would cost in float32.
        self._centred = np.zeros(spec.input_size, np.float64)
        self._features = np.zeros(spec.feature_size, dtype)
        self._normalised = self._features[: spec.input_size]
        self._mask = self._features[spec.input_size :]
        self._keep = spec.missing == "ffill" or spec.residual
        self.last = self._mean.copy()

    def reset(self) -> None:
        self.last[:] = self._mean

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x: (C,) raw units -> (F,) features, in a buffer that the next call overwrites.

        Raises SampleError on a wrong number of values, text, inf, or a NaN where the model refuses it; `last` is then unchanged.
        """
        x = np.asarray(x)
        if x.shape != self._shape:
            raise SampleError(
                f"sample has shape {x.shape}, expected ({self._spec.input_size},) for channels {', '.join(self._spec.channels)}"
            )
        try:
            np.subtract(x, self._mean, self._centred)
        except TypeError as e:
            raise SampleError(f"sample {x!r} is not numeric; expected {self._spec.input_size} numbers") from e
        if not math.isfinite(self._centred.dot(self._centred)):  # one call instead of isfinite().all(); overflow is sorted out below
            x = self._fill(np.asarray(x, np.float64))
        elif self._mask.size:
            self._mask[:] = 0
        if self._keep:
            self.last[:] = x
        np.multiply(self._centred, self._inverse_std, self._normalised)
        return self._features

    def _fill(self, x: Float64) -> Float64:
        missing = np.isnan(x)
        bad = np.isinf(x) | (missing if self._spec.missing == "refuse" else False)
        if bad.any():
            channel = int(np.argmax(bad))
            raise SampleError(_bad_value(self._spec, channel, x[channel]))
        filled = np.where(missing, self.last if self._spec.missing == "ffill" else self._mean, x)
        np.subtract(filled, self._mean, self._centred)
        if self._mask.size:
            self._mask[:] = missing
        return filled


def _bad_value(spec: ModelSpec, channel: int, value: float) -> str:
    name = spec.channels[channel]
    if math.isnan(value):
        return f"channel {name!r} is NaN and this model was trained with missing = 'refuse'; send a number, or train with missing = 'ffill' or 'mask'"
    return f"channel {name!r} is {value}; expected a finite number"


class Postprocessor:
    """Network outputs (..., O) -> answers (..., O): logits for "classify", raw units for "forecast"."""

    def __init__(self, spec: ModelSpec):
        self.identity = spec.task == "classify"
        self._offset = np.asarray(spec.output_offset, np.float64)
        self._scale = np.asarray(spec.output_scale, np.float64)
        self._residual_channels = [spec.channels.index(t) for t in spec.targets] * spec.horizon if spec.residual else None

    def __call__(self, outputs: NDArray[Any], filled: Float64) -> NDArray[Any]:
        """outputs: (..., O); filled: (..., C) the raw samples, gaps filled. The dtype of `outputs` is kept."""
        if self.identity:
            return outputs
        answer = outputs * self._scale + self._offset
        if self._residual_channels is not None:
            answer += filled[..., self._residual_channels]
        return answer.astype(outputs.dtype)


def describe(spec: ModelSpec, answer: NDArray[Any]) -> dict[str, Any]:
    """An answer (O,) as a JSON object: the label and every class's probability (softmax of the logits), or each target's forecast."""
    if spec.task == "forecast":
        steps = answer.reshape(spec.horizon, len(spec.targets))
        return {"forecast": {t: [float(v) for v in steps[:, j]] for j, t in enumerate(spec.targets)}}
    exponentials = np.exp(answer.astype(np.float64) - answer.max())
    probabilities = exponentials / exponentials.sum()
    return {
        "label": spec.classes[int(answer.argmax())],
        "probabilities": {name: round(float(p), 6) for name, p in zip(spec.classes, probabilities, strict=True)},
    }
