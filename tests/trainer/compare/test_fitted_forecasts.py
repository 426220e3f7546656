"""The rows of `edge-lstm compare` that are fitted, against scikit-learn and PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from edge_lstm import Config, load_data
from edge_lstm.compare import least_squares
from edge_lstm.compare.boosting import boosting
from edge_lstm.compare.dlinear import dlinear, moving_average
from edge_lstm.compare.forecasts import last_value
from edge_lstm.compare.lags import Lags, Seen, lagged, seasonal_lags
from edge_lstm.compare.nlinear import nlinear
from edge_lstm.compare.problem import Problem
from edge_lstm.compare.ridge import ridge, seasonal
from edge_lstm.compare.rows import Case, Row
from edge_lstm.data.load import make_spec
from edge_lstm.training.progress import Reporter
from helpers.configs import FORECAST

Configure = Callable[..., Config]
ROWS = {
    "ridge": ridge,
    "ridge-seasonal": seasonal,
    "nlinear": nlinear,
    "dlinear": dlinear,
    "boosting": boosting,
}


@dataclasses.dataclass(frozen=True)
class Kept(Case):
    """A case that keeps the answers that it measures."""

    answers: list[NDArray[Any]] = dataclasses.field(default_factory=list)

    def measure(self, answers: Sequence[NDArray[Any]]) -> dict[str, Any]:
        self.answers.extend(answers)
        return super().measure(answers)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_lstm.compare.rows.MEASURED", 0.0)


def make_case(config: Config, tmp_path: Path) -> Kept:
    splits = load_data(config)
    return Kept(config, make_spec(config, splits), splits, tmp_path, Reporter(quiet=True))


def changed(case: Kept, step: int, value: float) -> Kept:
    """The same, with another value of the first test sequence."""
    first, *rest = case.splits.test
    x = first.x.copy()
    x[step] = value
    splits = dataclasses.replace(case.splits, test=[dataclasses.replace(first, x=x), *rest])
    return Kept(case.config, case.spec, splits, case.out, case.reporter)


# --- the least squares ---


def test_sums_in_blocks_give_the_ridge_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, "BLOCK", 7)
    rng = np.random.default_rng(0)
    x, other = rng.normal(1000, 2, (2, 60, 5))
    true = rng.normal(size=(5, 3))
    y, after = (v @ true + rng.normal(0, 0.5, (60, 3)) for v in (x, other))
    y[[3, 20], 1] = np.nan  # such a row isn't learned

    design = Lags(0, features=True)
    outputs = np.arange(3)
    train = least_squares.sums(design, [(Seen(x, x, x), y)], outputs)
    val = least_squares.sums(design, [(Seen(other, other, other), after)], outputs)
    known = np.isfinite(y).all(axis=1)
    errors = least_squares.validated(train, val)
    for k, penalty in enumerate(least_squares.PENALTIES):
        expected = Ridge(alpha=penalty).fit(x[known], y[known])
        W, b = least_squares.solved(train, penalty)
        np.testing.assert_allclose(W, expected.coef_.T, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(b, expected.intercept_, rtol=1e-6)
        squared = (expected.predict(other) - after) ** 2
        np.testing.assert_allclose(errors[k], squared.mean(axis=0), rtol=1e-6)


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("refit", [False, True])
def test_the_choice_is_that_of_trying_each_with_scikit_learn(
    configure: Configure, tmp_path: Path, refit: bool
) -> None:
    case = make_case(configure(FORECAST, train__refit=refit), tmp_path)
    problem = Problem(case)
    designs = [Lags(1), Lags(4), Lags(16)]
    parts = least_squares.chosen(problem, designs, np.arange(3))
    assert sorted(k for part in parts for k in part.outputs) == [0, 1, 2]
    (train,) = (s.x for s in case.splits.train)
    (val,) = (s.x for s in case.splits.val)
    mean = train.mean(axis=0)
    std = train.std(axis=0)

    def table(x: NDArray[Any], lags: int, ahead: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The values now and before, the first one for those before the start, and b later.

        Steps that aren't followed by three more aren't learned.
        """
        rows = range(len(x) - 3)
        columns = [[(x[max(t - k, 0)] - mean) / std for k in range(lags)] for t in rows]
        return np.array(columns).reshape(len(rows), -1), x[ahead : len(x) - 3 + ahead, 1]

    for output in range(3):
        tried = {}
        for lags in (1, 4, 16):
            x, y = table(train, lags, output + 1)
            centre = train[output + 1 :, 1].mean()
            scale = train[output + 1 :, 1].std()
            other, after = table(val, lags, output + 1)
            for penalty in (0.1, 1, 10, 100, 1e3, 1e4, 1e5):
                model = Ridge(alpha=penalty).fit(x, (y - centre) / scale)
                error = np.mean((model.predict(other) - (after - centre) / scale) ** 2)
                tried[error] = (lags, penalty, model.coef_)
                if refit:
                    both = np.concatenate([x, other])
                    wanted = (np.concatenate([y, after]) - centre) / scale
                    tried[error] = (lags, penalty, Ridge(alpha=penalty).fit(both, wanted).coef_)
        lags, penalty, coefficients = tried[min(tried)]
        (part,) = (part for part in parts if output in part.outputs)
        place = list(part.outputs).index(output)
        assert part.design == Lags(lags)
        assert part.penalties[place] == penalty
        np.testing.assert_allclose(part.W[:, place], coefficients, rtol=1e-6, atol=1e-9)


def test_lags_before_the_start_are_the_first_value() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    found = lagged(values, np.array([0, 2]), np.array([0, 1, 5]))
    assert found.tolist() == [
        [[1, 10], [1, 10], [1, 10]],
        [[3, 30], [2, 20], [1, 10]],
    ]


def test_seasonal_lags_are_known_at_the_step() -> None:
    assert seasonal_lags(24, (1, 24)) == (0, 1, 22, 23, 24, 143, 144, 145, 166, 167, 168)
    assert seasonal_lags(4, (6,)) == (1, 2, 3, 21, 22, 23)  # two seasons before step t + 6


@pytest.mark.parametrize("steps", [7, 40])
def test_the_moving_average_is_that_of_the_paper(steps: int) -> None:
    """Its code: the ends repeated, then AvgPool1d."""
    x = torch.from_numpy(np.random.default_rng(steps).normal(size=(3, 1, steps)))
    padded = torch.nn.functional.pad(x, (12, 12), mode="replicate")
    expected = torch.nn.AvgPool1d(25, stride=1)(padded)[:, 0]
    np.testing.assert_allclose(x[:, 0].numpy() @ moving_average(steps), expected, atol=1e-12)


# --- the rows ---


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("name", ROWS)
def test_a_fitted_row_finds_a_wave_and_is_seeded(
    configure: Configure, tmp_path: Path, name: str
) -> None:
    """b is a wave of 10 rows with noise of 0.05: nothing can be better than that."""
    case = make_case(configure(FORECAST, data__season=10), tmp_path)
    row = ROWS[name](case)
    assert row.name == name
    assert row.metrics is not None
    naive = last_value(case)
    assert naive.metrics is not None
    assert 0.03 < row.metrics["rmse"] < 0.25 * naive.metrics["rmse"]
    assert row.metrics["steps"] == naive.metrics["steps"]
    assert ROWS[name](case).metrics == row.metrics
    assert row.seconds is not None
    assert row.seconds > 0
    assert row.us_per_step is not None
    assert row.us_per_step > 0
    assert row.measured


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("name", ROWS)
def test_nothing_later_than_a_step_is_read(configure: Configure, tmp_path: Path, name: str) -> None:
    case = make_case(configure(FORECAST, data__season=10), tmp_path)
    ROWS[name](case)
    spiked = changed(case, 23, 40.0)
    ROWS[name](spiked)
    before, after = (c.answers[0] for c in (case, spiked))
    np.testing.assert_array_equal(after[:23], before[:23])
    assert (after[23] != before[23]).any()
    assert np.isfinite(before).all()


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("name", ROWS)
def test_gaps_are_bridged_as_the_specification_does(
    configure: Configure, tmp_path: Path, name: str
) -> None:
    case = make_case(configure(FORECAST, data__season=10, data__missing="ffill"), tmp_path)
    x = case.splits.test[0].x
    x[7] = x[6]  # the model fills so
    ROWS[name](case)
    gap = changed(case, 7, np.nan)
    ROWS[name](gap)
    np.testing.assert_array_equal(gap.answers[0], case.answers[0])


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("name", ROWS)
def test_quantiles_bounds_and_listed_steps(configure: Configure, tmp_path: Path, name: str) -> None:
    config = configure(
        FORECAST,
        ('targets = ["b"]', 'targets = ["a", "b"]\nhigh = {b = 0.5}'),
        data__season=10,
        model__horizon=[1, 12],
        model__quantiles=[0.1, 0.5, 0.9],
    )
    case = make_case(config, tmp_path)
    row = ROWS[name](case)
    assert row.metrics is not None
    assert [step["ahead"] for step in row.metrics["per_step"]] == [1, 12]
    (answer,) = case.answers
    grouped = answer.reshape(len(answer), 2, 2, 3)
    np.testing.assert_array_equal(grouped, np.repeat(grouped[..., :1], 3, axis=-1))
    assert grouped[:, :, 1].max() == 0.5
    assert grouped[:, :, 0].min() > 100  # a counts the rows


@pytest.mark.usefixtures("forecast_csv")
def test_parameters_are_the_weights_and_the_intercepts(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_lstm.compare.ridge.STEPS", (2,))
    case = make_case(configure(FORECAST), tmp_path)
    row = ridge(case)
    assert row.parameters == 3 * (2 * 2 + 1)  # 3 steps ahead, of 2 lags of 2 channels
    assert row.note == "2 lags; of all channels, by validation"


@pytest.mark.usefixtures("forecast_csv")
def test_a_row_that_is_skipped_says_why(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skipped(row: Row) -> str:
        assert row.metrics is None
        return row.note

    case = make_case(configure(FORECAST, model__horizon=25), tmp_path)
    expected = "skipped: 25 targets and steps ahead, a model each (at most 24)"
    assert skipped(boosting(case)) == expected
    expected = "skipped: no `season` in [data], and no features but the channels"
    assert skipped(seasonal(case)) == expected
    monkeypatch.setattr("edge_lstm.compare.problem.MAX_COLUMNS", 9)
    case = make_case(configure(FORECAST, data__season=10), tmp_path)
    # Lags 6 to 10 and 66 to 70 of b, both channels now, and both features.
    expected = "skipped: 14 columns, and more than 9 would take too long"
    assert skipped(seasonal(case)) == expected
