"""From a trained forecast to a detector.

Its centre, scale and threshold come from the training split. How good its alarms are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import AnomalyDetector, ModelSpec
from edge_lstm_runtime.checks import LARGEST, SMALLEST
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.tasks.forecast import Detector, Forecast

from ..data.recordings import Float64, Sequence

Answers = Many[NDArray[Any]]
Flags = NDArray[np.bool_]
KEY = "anomaly"  # of what `measure` finds, among the metrics
# Times the median absolute deviation, this is the standard deviation of a normal distribution.
NORMAL = 1.4826
JOINED = 3600.0  # seconds: flags that are no further apart are one alarm


def fit(
    spec: ModelSpec,
    sequences: Many[Sequence],
    answers: Answers,
    *,
    false_alarms: float,
    smoothing: int,
) -> tuple[ModelSpec, list[Float64]]:
    """The specification with the detector's numbers, and the `scores` of these sequences.

    sequences, answers: of the training split. Known anomalies count nowhere.
    false_alarms: the share of the steps that may be flagged. smoothing: of the score, in steps.
    Raises DataError if no forecast could be compared with a value.
    """
    outputs = spec.answer.size
    # With this weight an average is as old as the mean of `smoothing` samples.
    weight = 2 / (smoothing + 1)
    open_spec = _with(spec, Detector((0.0,) * outputs, (1.0,) * outputs, 0.0, weight))
    found = []
    for sequence, answer in zip(sequences, answers, strict=True):
        open_detector = AnomalyDetector(open_spec)
        errors = np.array(
            [open_detector.errors(x, y).ravel() for x, y in zip(sequence.x, answer, strict=True)]
        )
        found.append(errors[normal_steps(sequence)])
    centre, scale = robust(np.concatenate(found), spec.answer.names)
    detector = Detector(tuple(centre.tolist()), tuple(scale.tolist()), 0.0, weight)
    fitted = _with(spec, detector)
    scored = scores(fitted, sequences, answers)  # which no threshold changes
    usual = np.concatenate([s[normal_steps(q)] for q, s in zip(sequences, scored, strict=True)])
    limit = threshold(usual, false_alarms)
    return _with(spec, dataclasses.replace(detector, threshold=limit)), scored


def _with(spec: ModelSpec, detector: Detector) -> ModelSpec:
    assert isinstance(spec.answer, Forecast)
    return dataclasses.replace(spec, answer=dataclasses.replace(spec.answer, detector=detector))


def robust(values: Float64, names: Many[str]) -> tuple[Float64, Float64]:
    """The median and the spread of each column, (K,) each. values: (T, K), NaN if unknown.

    The spread is the scaled median absolute deviation. That is 0 if more than half of the values
    are the same: the spread is then the standard deviation, or 1 if that is 0 too.
    """
    known = ~np.isnan(values)
    if not known.any(axis=0).all():
        name = names[int(np.argmin(known.any(axis=0)))]
        raise DataError(
            f"no forecast of {name!r} in the training split falls on a known, normal value"
        )
    centre = np.nanmedian(values, axis=0)
    spread = NORMAL * np.nanmedian(np.abs(values - centre), axis=0)
    for instead in (np.nanstd(values, axis=0), np.ones_like(spread)):
        spread = np.where(spread > SMALLEST, spread, instead)
    return centre, spread


def threshold(scores: Float64, rate: float) -> float:
    """The score that a share `rate` of them is above, or the next smaller possible share.

    NaN is no score. Raises DataError if there is none.
    """
    ranked = np.sort(scores[~np.isnan(scores)])[::-1]
    if not len(ranked):
        raise DataError(
            "no step of the training split has a score: "
            "every value is missing or in a window of `known_anomalies`"
        )
    return min(float(ranked[int(rate * len(ranked))]), LARGEST)


def normal_steps(sequence: Sequence) -> Flags:
    return np.ones(len(sequence.x), bool) if sequence.anomalous is None else ~sequence.anomalous


def scores(spec: ModelSpec, sequences: Many[Sequence], answers: Answers) -> list[Float64]:
    """Of each sequence (T,), NaN if a step has none. The state begins anew with each recording."""
    found = []
    for sequence, answer in zip(sequences, answers, strict=True):
        detector = AnomalyDetector(spec)
        found.append(
            np.array([detector(x, y).score for x, y in zip(sequence.x, answer, strict=True)])
        )
    return found


def judge(sequences: Many[Sequence], flags: Many[Flags]) -> dict[str, Any]:
    """How good the flags (T,) of each sequence are.

    flagged                the share of the steps outside of the windows that are flagged. On the
                           training split, `false_alarms` in [model] sets it
    windows, detected      known anomalies, and those with a flag in them
    false_alarms           alarms that touch no window. An alarm is a run of flags, at most an hour
                           apart
    false_alarms_per_day   over the time outside of the windows
    precision, recall, f1  detected over detected and false alarms, detected over windows, and their
                           harmonic mean. None if undefined
    delay_hours            from a window's start to the first flag in it, the mean over the detected
                           ones
    If there are no known windows, `flagged` alone.
    """
    usual = np.concatenate([f[normal_steps(s)] for s, f in zip(sequences, flags, strict=True)])
    found: dict[str, Any] = {"flagged": float(usual.mean()) if len(usual) else None}
    if any(s.anomalous is None or s.time is None for s in sequences):
        return found
    windows = false_alarms = 0
    delays = []
    seconds = 0.0
    for sequence, flag in zip(sequences, flags, strict=True):
        assert sequence.time is not None
        assert sequence.anomalous is not None
        time = sequence.time
        anomalous = sequence.anomalous
        known = runs(anomalous)
        windows += len(known)
        for start, end in known:
            hits = np.flatnonzero(flag[start:end])
            if len(hits):
                delays.append(float(time[start + hits[0]] - time[start]) / 3600)
        false_alarms += sum(not anomalous[start:end].any() for start, end in runs(flag, time))
        # A clock that is set back takes no time.
        seconds += float(np.maximum(np.diff(time), 0)[~anomalous[1:]].sum())
    detected = len(delays)
    days = seconds / 86400
    return found | {
        "windows": windows,
        "detected": detected,
        "false_alarms": false_alarms,
        "days": days,
        "false_alarms_per_day": false_alarms / days if days else None,
        "precision": detected / (detected + false_alarms) if detected + false_alarms else None,
        "recall": detected / windows if windows else None,
        "f1": 2 * detected / (detected + false_alarms + windows)
        if false_alarms + windows
        else None,
        "delay_hours": sum(delays) / detected if detected else None,
    }


def runs(flags: Flags, time: Float64 | None = None) -> list[tuple[int, int]]:
    """The stretches of flagged steps: the first step, and the one after the last.

    time: (T,) seconds. If it is given, stretches at most an hour apart are one.
    """
    borders = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for start, end in borders.reshape(-1, 2).tolist():
        if found and time is not None and time[start] - time[found[-1][1] - 1] <= JOINED:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def measure(spec: ModelSpec, sequences: Many[Sequence], scored: Many[Float64]) -> dict[str, Any]:
    """`judge` of a fitted specification's own flags. A step without a score has no flag.

    scored: the `scores` of the sequences.
    """
    return judge(sequences, [s > spec.detector.threshold for s in scored])


def sentence(found: dict[str, Any]) -> str:
    """What `judge` found, in words."""
    if "windows" not in found:
        share = found["flagged"]
        return "no step to judge" if share is None else f"{100 * share:.3g} % of the steps flagged"
    rate = (
        ""
        if found["false_alarms_per_day"] is None
        else f" ({found['false_alarms_per_day']:.2g} a day)"
    )
    delay = ""
    if found["delay_hours"] is not None and not math.isnan(found["delay_hours"]):
        start = "its start" if found["detected"] == 1 else "their starts on average"
        delay = f", {found['delay_hours']:.1f} h after {start}"
    detected = f"{found['detected']} of {found['windows']} windows detected{delay}"
    alarms = f"{found['false_alarms']} false alarm{'' if found['false_alarms'] == 1 else 's'}"
    return f"{detected}; {alarms}{rate}"
