"""Anomalies in a stream: how far a sample is from its forecasts.

    error    e[k, j] = x[j] - forecast[k, j] for target j; forecast k was made ahead[k] samples
             before (ahead: the steps ahead, 1 to the horizon if that is a number)
    raw      max over j of the mean over k of |e[k, j] - centre[k, j]| / scale[k, j], over the
             forecasts that are known
    score    s = s_before + smoothing * (raw - s_before); the first score is the first raw value
    anomaly  score > threshold

Centre, scale, smoothing and threshold are in the specification. A sample has no score if it has no
value for any target, or if no forecast of it was made. The score before it is then kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import BackendError, ConfigError, SampleError
from .model.spec import ModelSpec
from .tasks.forecast import NO_DETECTOR, Forecast

Float64 = NDArray[np.float64]


class Detection(NamedTuple):
    """score: in robust standard deviations of a usual error, NaN if the sample has none.

    anomaly: whether the score is above the threshold.

    >>> import edge_lstm_runtime as rt
    >>> found = rt.Detection(score=5.2, anomaly=True)
    >>> found.anomaly
    True
    """

    score: float
    anomaly: bool


class AnomalyDetector:
    """The detector for one stream.

    Call it with each sample and the session's answer to that sample. Reset it with the session.
    Its state is the forecasts that are still due, and the score.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> model = rt.load("watched.edge")  # of task "anomaly"
    >>> detector = rt.AnomalyDetector(model.spec)
    >>> detector
    AnomalyDetector(v; threshold 0.987)
    >>> with model.session("numpy") as s:
    ...     for x in np.load("stream.npy"):  # (C,) raw units each
    ...         found = detector(x, s.step(x))  # a Detection
    >>> found.score >= 0
    True
    >>> saved = detector.state  # with the session's: {"due": (ahead, ahead, targets), "score": ...}
    >>> detector.reset()  # as at the start of a recording
    >>> detector.state = saved
    >>> detector.errors(x, [0.0]).shape  # x minus its forecasts, (steps ahead, targets)
    (1, 1)
    """

    def __init__(self, spec: ModelSpec):
        """Raises ConfigError if the model is no anomaly detector."""
        answer = spec.answer
        detector = spec.detector
        if not isinstance(answer, Forecast) or detector is None:
            raise ConfigError(NO_DETECTOR)
        ahead = np.array(answer.ahead)
        shape = (len(ahead), len(answer.targets))
        self._spec = spec
        self._detector = detector
        self._channels = answer.channels(spec.inputs)
        # Of `due`: each forecast of the sample that comes now.
        self._now = ahead - 1, np.arange(len(ahead))
        self._centre = np.reshape(detector.centre, shape)
        self._scale = np.reshape(detector.scale, shape)
        # [a - 1]: the answer a samples ago.
        self._due = np.empty((ahead[-1], *shape))
        self._score = math.nan
        self.reset()

    def __repr__(self) -> str:
        targets = ", ".join(self._spec.answer.targets)
        return f"AnomalyDetector({targets}; threshold {self._detector.threshold:.3g})"

    def __call__(self, x: ArrayLike, answer: ArrayLike) -> Detection:
        """Score one sample.

        x: (C,) the sample in raw units, NaN for a missing value. answer: (O,) raw units, the
        session's answer to x. Raises SampleError for another shape or text. The state is then
        unchanged.
        """
        deviations = np.abs(self.errors(x, answer) - self._centre) / self._scale
        known = ~np.isnan(deviations)
        counts = known.sum(axis=0)
        if not counts.any():
            return Detection(math.nan, False)
        raw = float((np.where(known, deviations, 0).sum(axis=0) / np.maximum(counts, 1)).max())
        before = self._score
        self._score = (
            raw if math.isnan(before) else before + self._detector.smoothing * (raw - before)
        )
        return Detection(self._score, self._score > self._detector.threshold)

    def errors(self, x: ArrayLike, answer: ArrayLike) -> Float64:
        """The first half of a call: x minus its forecasts, (steps ahead, targets) raw units.

        An error is NaN if the sample's value or the forecast is missing. The answer is kept as the
        newest forecast. Raises SampleError as a call does.
        """
        try:
            sample = np.asarray(x, np.float64)
            forecast = np.asarray(answer, np.float64)
        except (TypeError, ValueError) as e:
            raise SampleError(f"sample or answer is not numeric: {e}") from e
        if sample.shape != (self._spec.input_size,) or forecast.shape != (self._spec.output_size,):
            raise SampleError(
                f"sample and answer have shapes {sample.shape} and {forecast.shape}, "
                f"expected ({self._spec.input_size},) and ({self._spec.output_size},)"
            )
        errors: Float64 = sample[self._channels] - self._due[self._now]
        self._due[1:] = self._due[:-1].copy()
        self._due[0] = forecast.reshape(self._due.shape[1:])
        return errors

    @property
    def state(self) -> dict[str, Any]:
        """Copies: "due" (last step ahead, steps ahead, targets) and "score".

        Save it with the session's state. Assigning restores both. It raises BackendError for other
        names or shapes, and for text or None. The state is then unchanged.
        """
        return {"due": self._due.copy(), "score": self._score}

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        try:
            if not isinstance(value, Mapping) or set(value) != {"due", "score"}:
                raise ValueError("it has other names")
            due = np.asarray(value["due"], np.float64)
            score = float(value["score"])
            if due.shape != self._due.shape:
                raise ValueError(f"its 'due' has shape {due.shape}")
        except (TypeError, ValueError) as e:
            raise BackendError(
                f"not a state of this detector: {e}; expected 'due' of shape {self._due.shape} "
                "and 'score', as it gives them"
            ) from e
        self._due[:] = due
        self._score = score

    def reset(self) -> None:
        """Forget all forecasts and the score, as at the start of a recording."""
        self._due[:] = np.nan
        self._score = math.nan
