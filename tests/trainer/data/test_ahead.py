"""The truth and the simple forecasts of listed steps ahead, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_lstm.data.windows import future, last_values, season_before
from helpers.specs import changed, make_spec

STEPS = (1, 6, 24)
X = np.random.default_rng(0).normal(size=(60, 3))
X[10, 1] = np.nan
X[0, 2] = np.nan
TARGETS = {"c": 2, "b": 1}
BASE = make_spec(task="forecast", channels=["a", "b", "c"], targets=["c", "b"], missing="ffill")


@pytest.mark.parametrize("levels", [(), (0.1, 0.5, 0.9)])
@pytest.mark.parametrize("horizon", [4, STEPS, (5,)])
@pytest.mark.parametrize("season", [1, 5, 7, 24, 30])
def test_each_output_has_its_own_step(
    horizon: int | tuple[int, ...], levels: tuple[float, ...], season: int
) -> None:
    steps = range(1, horizon + 1) if isinstance(horizon, int) else horizon
    size = len(steps) * 2 * max(len(levels), 1)
    spec = changed(
        BASE, horizon=horizon, quantiles=levels, offset=(0.0,) * size, scale=(1.0,) * size
    )
    x = X
    truth = future(spec, x)
    before = season_before(spec, x, season)
    naive = last_values(spec, x)
    assert truth.shape == before.shape == naive.shape == (60, size)
    place = 0
    for ahead in steps:
        for channel in TARGETS.values():
            for _ in levels or (0.5,):
                for t in range(60):
                    expected = x[t + ahead, channel] if t + ahead < 60 else math.nan
                    np.testing.assert_equal(truth[t, place], expected)
                    source = t + ahead
                    while source > t:  # the last season of which the value is known
                        source -= season
                    expected = x[source, channel] if t >= season and source >= 0 else math.nan
                    np.testing.assert_equal(before[t, place], expected)
                known = [v for v in x[:41, channel] if not math.isnan(v)]
                assert naive[40, place] == known[-1]
                place += 1
    assert naive[10, -1] == x[9, 1]
