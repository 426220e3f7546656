"""The models that a classifier has to beat.

They are logistic regression on summary statistics, and the nearest neighbour under time warping.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.recordings import Float64, Sequence
from .rows import Case, Row, microseconds, repeated

WINDOW = 0.1  # the share of the longest sequence that DTW may warp
MAX_CELLS = 2e10  # in all DTW matrices together, times channels: about a minute


def logistic(case: Case) -> Row:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = case.learned
    test = case.splits.test
    began = time.perf_counter()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(np.stack([statistics(case, s) for s in train]), [s.label for s in train])
    seconds = time.perf_counter() - began
    scores = model.predict_log_proba(np.stack([statistics(case, s) for s in test]))
    first = test[0]
    duration = microseconds(lambda: model.predict(statistics(case, first)[None]), len(first.x))
    coefficients = (
        model[-1].coef_.size
        + model[-1].intercept_.size
        + model[0].mean_.size
        + model[0].scale_.size
    )
    return Row(
        "logistic",
        "logistic regression",
        _whole(case, np.maximum(scores, -1e6)),  # a probability of 0 has no finite logarithm
        coefficients,
        duration,
        "NumPy and scikit-learn, whole sequence",
        seconds,
        "of mean, standard deviation, least, most and slope of each channel",
    )


def statistics(case: Case, sequence: Sequence) -> Float64:
    """(5 F,) of the normalized features: mean, standard deviation, least, most, slope per step."""
    x = case.spec.inputs.features(sequence.x)[0]
    t = np.arange(len(x)) - (len(x) - 1) / 2
    slope = t @ x / max(float(t @ t), 1.0)
    found: Float64 = np.concatenate(
        [x.mean(axis=0), x.std(axis=0), x.min(axis=0), x.max(axis=0), slope]
    )
    return found


def nearest(case: Case) -> Row:
    """1-NN DTW over whole sequences, all channels warped together."""
    name = "dtw"
    title = "1-NN DTW"
    train = case.learned
    test = case.splits.test
    steps = np.array([len(s.x) for s in train])
    test_steps = np.array([len(s.x) for s in test])
    longest = int(max(steps.max(), test_steps.max()))
    share = min(1.0, 2 * WINDOW)
    cells = float(steps.sum()) * float(test_steps.sum()) * share * case.spec.inputs.feature_size
    if cells > MAX_CELLS:
        note = (
            f"skipped: {cells:.1g} matrix cells, more than {MAX_CELLS:.0e}; it would take too long"
        )
        return Row(name, title, None, note=note)
    from aeon.distances import dtw_pairwise_distance

    known = [_channels_first(case, s) for s in train]
    asked = [_channels_first(case, s) for s in test]
    # With less the ends of unequal lengths would never meet.
    window = max(WINDOW, 1 - min(steps.min(), test_steps.min()) / longest)
    case.reporter.line(f"1-NN DTW: {len(asked)} test sequences against {len(known)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's, of a cast within aeon
        dtw_pairwise_distance(asked[:1], known[:1], window=window)  # compiles it
    began = time.perf_counter()
    distances = dtw_pairwise_distance(asked, known, window=window)
    duration = 1e6 * (time.perf_counter() - began) / int(test_steps.sum())
    scores = np.zeros((len(test), len(case.spec.answer.classes)))
    labels = np.array([s.label for s in train])
    scores[np.arange(len(test)), labels[distances.argmin(axis=1)]] = 1
    note = (
        f"against {len(known)} training sequences; "
        f"warps up to {100 * window:.0f} % of {longest} steps"
    )
    return Row(
        name,
        title,
        _whole(case, scores),
        sum(x.size for x in known),
        duration,
        "aeon, whole sequence",
        0.0,
        note,
    )


def _channels_first(case: Case, sequence: Sequence) -> Float64:
    """(F, T)"""
    return np.ascontiguousarray(case.spec.inputs.features(sequence.x)[0].T)


def _whole(case: Case, scores: NDArray[Any]) -> dict[str, Any]:
    """scores: (sequences, classes).

    They are known at the end alone, so there is no accuracy over all steps.
    """
    metrics = case.measure(repeated(scores, case))
    return {**metrics, "accuracy_all_steps": None}
