"""The detectors that an anomaly detector has to beat.

They are the errors of simpler forecasts, the distance of the value from its median, and a rolling
z-score. Every threshold is set as the LSTM's is, on the training split, for the same share of
flagged steps. Only the scores of the two forecasts are smoothed. If there are several targets, the
largest score counts.
"""

from __future__ import annotations

import dataclasses
import io
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import atomic_write, sealed, unsealed

from ..data.recordings import Float64
from ..data.recordings import Sequence as Recorded
from ..data.windows import filled_raw, last_values, season_before
from ..results import alarms, plots
from ..results.answers import answers
from ..results.run import load_run
from . import recurrent
from .rows import Case, Row, microseconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLLING = 100  # steps of the rolling window if the configuration has no `season`


def lstm(case: Case) -> Row:
    """As in `recurrent`, with the figures of the detector in place of the forecast's."""
    row = recurrent.lstm(case)
    run = load_run(case.out / "lstm")
    scores = alarms.scores(run.spec, case.splits.test, answers(run.model, case.splits.test))
    return _judged(case, row, scores, run.spec.detector.threshold)


def last_value(case: Case) -> Row:
    return _of_forecasts(
        case,
        Row("naive", "last value's error", None),
        lambda sequence: last_values(case.spec, sequence.x),
    )


def seasonal(case: Case) -> Row:
    row = Row("seasonal", "seasonal naive's error", None)
    season = case.config.data.season
    if season is None:
        return dataclasses.replace(row, note="skipped: no `season` in [data]")

    def answer(sequence: Recorded) -> Float64:
        return season_before(case.spec, filled_raw(case.spec, sequence.x), season)

    return _of_forecasts(case, dataclasses.replace(row, note=f"{season} steps before"), answer)


def raw_value(case: Case) -> Row:
    """The distance from the training split's median, in its robust deviations."""
    channels = case.spec.answer.channels(case.spec.inputs)
    usual = np.concatenate([s.normal[:, channels] for s in case.splits.train])
    centre, scale = alarms.robust(usual, case.spec.answer.targets)
    row = Row(
        "raw",
        "distance from the median",
        None,
        2 * len(channels) + 1,
        note="of the value now, on both sides",
    )
    return _of_values(case, row, lambda x: np.abs(x - centre) / scale)


def rolling_z(case: Case) -> Row:
    """The distance from the mean of the samples before, in their standard deviations."""
    window = case.config.data.season or ROLLING
    row = Row("rolling", "rolling z-score", None, 1, note=f"of the {window} samples before")

    def score(x: Float64) -> Float64:
        found = np.full(x.shape, np.nan)
        if len(x) > window:
            before = sliding_window_view(x, window, axis=0)[:-1]
            found[window:] = np.abs(x[window:] - before.mean(axis=-1)) / np.maximum(
                before.std(axis=-1), 1e-9
            )
        return found

    return _of_values(case, row, score)


def picture(case: Case, rows: Sequence[Row]) -> Figure:
    """The scores of every row on the test split."""
    drawn: dict[str, tuple[list[NDArray[Any]], float]] = {}
    for row in rows:
        if row.metrics is not None:
            drawn[row.title] = _kept(case.out / "rows" / f"{row.name}.npz", len(case.splits.test))
    return plots.plot_anomalies(case.splits.test, drawn)


def _kept(path: Path, count: int) -> tuple[list[NDArray[Any]], float]:
    """The scores of each test sequence and the threshold. Raises TrainingError if damaged."""
    try:
        content, _ = unsealed(path.read_bytes())
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return [file[f"scores{k}"] for k in range(count)], float(file["threshold"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as e:
        raise TrainingError(
            f"{path}: damaged ({e}); delete it and {path.stem}.json beside it, and go on with "
            "--resume"
        ) from e


def _of_forecasts(case: Case, row: Row, answer: Callable[[Recorded], Float64]) -> Row:
    """The LSTM's score, but of other forecasts."""
    began = time.perf_counter()
    train = case.splits.train
    spec, _ = alarms.fit(case.spec, train, [answer(s) for s in train], **case.config.model.alarms)
    seconds = time.perf_counter() - began
    scores = alarms.scores(spec, case.splits.test, [answer(s) for s in case.splits.test])
    row = dataclasses.replace(row, parameters=2 * spec.answer.size + 1, seconds=seconds)
    return _judged(case, row, scores, spec.detector.threshold)


def _of_values(case: Case, row: Row, score: Callable[[Float64], Float64]) -> Row:
    """score: (T, targets) raw units -> (T, targets)"""
    channels = case.spec.answer.channels(case.spec.inputs)

    def largest(sequence: Recorded) -> Float64:
        found = score(filled_raw(case.spec, sequence.x)[:, channels])
        known = ~np.isnan(sequence.x[:, channels]) & ~np.isnan(found)
        highest: Float64 = np.where(known, found, -np.inf).max(axis=1)
        return np.where(known.any(axis=1), highest, np.nan)

    began = time.perf_counter()
    usual = [largest(s)[alarms.normal_steps(s)] for s in case.splits.train]
    share = case.config.model.alarms["false_alarms"]
    threshold = alarms.threshold(np.concatenate(usual), share)
    seconds = time.perf_counter() - began
    scores = [largest(s) for s in case.splits.test]
    x = case.splits.test[0]
    duration = microseconds(lambda: largest(x), len(x.x))
    row = dataclasses.replace(
        row, seconds=seconds, us_per_step=duration, measured="NumPy, whole sequence"
    )
    return _judged(case, row, scores, threshold)


def _judged(case: Case, row: Row, scores: list[Float64], threshold: float) -> Row:
    arrays: dict[str, Any] = {f"scores{k}": s for k, s in enumerate(scores)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, threshold=threshold, **arrays)
    with atomic_write(case.out / "rows" / f"{row.name}.npz") as file:
        file.write(sealed(buffer.getvalue()))
    return dataclasses.replace(
        row, metrics=alarms.judge(case.splits.test, [s > threshold for s in scores])
    )
