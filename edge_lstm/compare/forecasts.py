"""The forecasts that the LSTM has to beat: the last value, the value a season before, ARIMA."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from edge_lstm_runtime.inputs.channels import Channels

from ..data.recordings import Float64, Sequence
from ..data.windows import future, last_values, season_before
from .rows import Case, Row, microseconds

# All have the same d, because the AIC of a series and that of its differences can't be compared.
# The MA term then serves a level that doesn't wander.
ORDERS = ((0, 1, 1), (1, 1, 0), (1, 1, 1), (2, 1, 0), (2, 1, 1), (2, 1, 2))
FIT_STEPS = 4000  # the end of the longest training sequence: bounds the time
MAX_TARGETS = 8  # each has models of its own


def last_value(case: Case) -> Row:
    found = [last_values(case.spec, s.x) for s in case.splits.test]
    x = case.splits.test[0].x
    duration = microseconds(lambda: last_values(case.spec, x), len(x))
    return Row(
        "naive", "last value", case.measure(found), 0, duration, "NumPy, whole sequence", 0.0
    )


def seasonal(case: Case) -> Row:
    name = "seasonal"
    title = "seasonal naive"
    season = case.config.data.season
    if season is None:
        return Row(name, title, None, note="skipped: no `season` in [data]")
    if not any(_measurable(case, s, season) for s in case.splits.test):
        both = f"known values both ahead and a season ({season} steps) before"
        return Row(name, title, None, note=f"skipped: no step of the test split has {both}")
    found = [_season_before(case, s, season) for s in case.splits.test]
    longest = max(case.splits.test, key=lambda s: len(s.x))
    duration = microseconds(lambda: _season_before(case, longest, season), len(longest.x))
    return Row(
        name,
        title,
        case.measure(found),
        0,
        duration,
        "NumPy, whole sequence",
        0.0,
        f"{season} steps before",
    )


def arima(case: Case) -> Row:
    """A model of each target alone.

    Its order has the lowest AIC on the training split. The test split is appended without a refit.
    """
    name = "arima"
    spec = case.spec
    if len(spec.answer.targets) > MAX_TARGETS:
        note = (
            f"skipped: {len(spec.answer.targets)} targets, and each takes a model of its own "
            f"(at most {MAX_TARGETS})"
        )
        return Row(name, "ARIMA", None, note=note)
    train = max(case.learned, key=lambda s: len(s.x)).x[-FIT_STEPS:]
    # These stay until a value is known: the mean, as for the LSTM.
    found = [last_values(case.spec, s.x) for s in case.splits.test]
    seconds = filtering = 0.0
    learned = 0
    orders = []
    channels = spec.answer.channels_of_outputs(spec.inputs)
    places = np.searchsorted(spec.answer.ahead, spec.answer.steps)
    for target in spec.answer.targets:
        channel = spec.inputs.names.index(target)
        inputs = case.spec.inputs
        assert isinstance(inputs, Channels)
        mean = inputs.mean[channel]
        std = inputs.std[channel]
        if target in inputs.log_units:  # these are of another scale than the series
            mean = float(np.nanmean(train[:, channel]))
            std = float(np.nanstd(train[:, channel])) or 1.0
        case.reporter.line(
            f"ARIMA of {target}: {len(ORDERS)} orders on {len(train)} training steps"
        )
        began = time.perf_counter()
        fitted = _lowest_aic((train[:, channel] - mean) / std)
        seconds += time.perf_counter() - began
        if fitted is None:
            return Row(name, "ARIMA", None, note=f"skipped: no order could be fitted to {target!r}")
        order, result = fitted
        orders.append(str(order).replace(" ", ""))
        learned += order[0] + order[2]
        for answer, sequence in zip(found, case.splits.test, strict=True):
            began = time.perf_counter()
            series = (sequence.x[:, channel] - mean) / std
            ahead = mean + std * forecasts(result, series, spec.answer.ahead)
            filtering += time.perf_counter() - began
            known = ~np.isnan(sequence.x[:, channel])
            seen = np.logical_or.accumulate(known)
            own = np.flatnonzero(channels == channel)
            answer[np.ix_(seen, own)] = ahead[seen][:, places[own]]
    duration = 1e6 * filtering / sum(len(s.x) for s in case.splits.test)
    title = f"ARIMA{', '.join(dict.fromkeys(orders))}"
    note = f"order by AIC on the last {len(train)} steps of the longest training sequence"
    return Row(
        name,
        title,
        case.measure(found),
        learned,
        duration,
        "statsmodels' filter, whole sequence",
        seconds,
        note,
    )


def forecasts(result: Any, series: Float64, steps: Many[int]) -> Float64:
    """(T,) -> (T, len(steps)) so many steps ahead of each step, from the values up to it.

    steps: ascending. NaN in `series` is bridged. result: a fitted ARIMA without trend. Its
    coefficients are kept. A forecast is the design times a power of the transition times the
    filtered state. In one pass this gives the forecasts that `append` and `forecast` would give at
    each step.
    """
    from ..threads import one  # imports torch

    with warnings.catch_warnings(), one():
        warnings.simplefilter("ignore")
        filtered = result.apply(series)
    design = filtered.model.ssm["design"][0]
    transition = filtered.model.ssm["transition"]
    state = filtered.filter_results.predicted_state[:, 1:]  # (k, T): of the step after each
    ahead = []
    for step in range(1, steps[-1] + 1):
        if step in steps:
            ahead.append(design @ state)
        state = transition @ state
    return np.stack(ahead, axis=1)


def _lowest_aic(series: Float64) -> tuple[tuple[int, int, int], Any] | None:
    from statsmodels.tsa.arima.model import ARIMA

    from ..threads import one  # imports torch

    best: tuple[tuple[int, int, int], Any] | None = None
    with warnings.catch_warnings(), one():
        # A search may stop at its limit or begin outside of the stationary. The AIC judges it.
        warnings.simplefilter("ignore")
        for order in ORDERS:
            try:
                result = ARIMA(series, order=order).fit(method_kwargs={"maxiter": 50})
            except (ValueError, IndexError, np.linalg.LinAlgError):
                continue  # the series is singular, or too short for this order
            if np.isfinite(result.aic) and (best is None or result.aic < best[1].aic):
                best = order, result
    return best


def _measurable(case: Case, sequence: Sequence, season: int) -> bool:
    before = season_before(case.spec, sequence.x, season)
    return bool(np.isfinite(future(case.spec, sequence.x) + before).all(axis=1).any())


def _season_before(case: Case, sequence: Sequence, season: int) -> Float64:
    """The last value if that is unknown. Those steps are not measured."""
    before = season_before(case.spec, sequence.x, season)
    return np.where(np.isnan(before), last_values(case.spec, sequence.x), before)
