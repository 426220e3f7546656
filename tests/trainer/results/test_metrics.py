"""Metrics against plain loops and numbers worked out by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from edge_lstm import Sequence, evaluate
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.channels import Channels, Missing
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Forecast
from edge_lstm_runtime.tasks.regress import Regress
from helpers.specs import chain

INPUTS = Channels(("a",), (0.0,), (1.0,))
CLASSIFY = ModelSpec(INPUTS, chain(1, 2, 1, 3), Classify(("x", "y", "z")))


def forecast_spec(
    horizon: int, targets: tuple[str, ...] = ("a",), missing: Missing = "refuse"
) -> ModelSpec:
    outputs = horizon * len(targets)
    inputs = Channels(("a", "b"), (0.5, 0.0), (1.0, 1.0), missing=missing)
    answer = Forecast(targets, horizon, (0.0,) * outputs, (1.0,) * outputs)
    return ModelSpec(inputs, chain(2, 2, 1, outputs), answer)


def logits(*classes: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[list(classes)]


def test_classify_by_hand() -> None:
    truth = [0, 0, 1, 2]
    sequences = [
        Sequence(f"s{k}", "g", np.zeros((3 if k else 2, 1)), label) for k, label in enumerate(truth)
    ]
    # The last answers are x, y, y, x.
    found = evaluate(
        CLASSIFY, sequences, [logits(2, 0), logits(0, 0, 1), logits(1, 1, 1), logits(2, 2, 0)]
    )
    assert found["accuracy"] == 0.5
    assert (found["right"], found["sequences"]) == (2, 4)
    # Wilson's for 2 of 4: 0.5 plus and minus 0.35.
    interval = (found["accuracy_low"], found["accuracy_high"])
    assert interval == pytest.approx((0.15004, 0.84996), abs=1e-4)
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    # F1: x has 1 right of 2 answers and 2 truths, y 1 of 2 and 1, z none: (1/2 + 2/3 + 0) / 3.
    assert found["macro_f1"] == pytest.approx((1 / 2 + 2 / 3) / 3, abs=1e-6)
    assert found["accuracy_all_steps"] == pytest.approx((1 + 2 + 3 + 2) / 11, abs=1e-6)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("season", [None, 5])
@pytest.mark.parametrize("targets", [("a",), ("b", "a")])
@pytest.mark.parametrize("horizon", [1, 3])
def test_forecast_against_a_plain_loop(
    season: int | None, targets: tuple[str, ...], horizon: int
) -> None:
    spec = forecast_spec(horizon, targets, "ffill")
    rng = np.random.default_rng(0)
    sequences = []
    answers = []
    for length in (20, 4, 13):
        x = rng.normal(size=(length, 2)) * (1.0, 50.0)
        if length == 20:
            x[9, 0] = np.nan
        sequences.append(Sequence("s", "g", x))
        answers.append(rng.normal(size=(length, horizon * len(targets))).astype(np.float32))
    columns = [{"a": 0, "b": 1}[t] for t in targets]
    errors: dict[str, list[np.ndarray]] = {"model": [], "naive": [], "seasonal": []}
    truths = []
    for sequence, answer in zip(sequences, answers, strict=True):
        x = sequence.x
        for t in range(len(x)):
            if t + horizon >= len(x) or (season and t < season):
                continue
            truth = np.array([[x[t + k, c] for c in columns] for k in range(1, horizon + 1)])
            last = np.array(
                [x[max(i for i in range(t + 1) if np.isfinite(x[i, c])), c] for c in columns]
            )
            before = (
                np.array([[x[t + k - season, c] for c in columns] for k in range(1, horizon + 1)])
                if season
                else truth
            )
            if np.isnan(truth).any() or np.isnan(before).any():
                continue
            truths.append(truth)
            errors["model"].append(answer[t].reshape(truth.shape) - truth)
            errors["naive"].append(last - truth)
            errors["seasonal"].append(before - truth)
    found = evaluate(spec, sequences, answers, season=season)
    truth = np.stack(truths)
    std = truth.std(axis=(0, 1))

    def expect(figures: dict[str, Any], e: np.ndarray, ahead: slice = slice(None)) -> None:
        """e: (steps, ahead, targets). ahead: those that the figures are of."""
        e = e[:, ahead]
        spread = (e + truth[:, ahead]).std(axis=(0, 1)) / std
        mae = np.abs(e).mean(axis=(0, 1))
        rmse = np.sqrt((e**2).mean(axis=(0, 1)))
        assert list(figures["per_target"]) == list(targets)
        for j, each in enumerate(figures["per_target"].values()):
            expected = {"mae": mae[j], "rmse": rmse[j], "nrmse": rmse[j] / std[j]}
            expected["spread"] = spread[j]
            assert each == pytest.approx(expected)
        assert figures["nrmse"] == pytest.approx((rmse / std).mean())
        if len(targets) == 1:
            assert (figures["mae"], figures["rmse"]) == pytest.approx((mae[0], rmse[0]))
        else:  # in units of their own
            assert (figures["mae"], figures["rmse"]) == (None, None)

    for name, figures in (("model", found), *found["baselines"].items()):
        expect(figures, np.stack(errors[name]))
    e = np.stack(errors["model"])
    assert found["steps"] == len(e)
    for k, step in enumerate(found["per_step"]):
        assert step["ahead"] == k + 1
        expect(step, e, slice(k, k + 1))
    assert set(found["baselines"]) == ({"naive", "seasonal"} if season else {"naive"})
    json.dumps(found, allow_nan=False)


def test_the_verdict_says_who_wins() -> None:
    spec = forecast_spec(1)
    a = np.sin(2 * np.pi * np.arange(60) / 12)
    sequence = Sequence("s", "g", np.stack([a, a], axis=1))
    after = np.append(a[1:], 0)[:, None]
    good = evaluate(spec, [sequence], [after + 0.01], season=12)
    assert good["beats_naive"] is True
    assert good["beats_seasonal"] is False  # which is exact here
    assert "The model beats the naive forecast (last value): MAE 0.01 against" in good["verdict"]
    assert "does not beat the seasonal naive forecast (12 steps before)" in good["verdict"]
    bad = evaluate(spec, [sequence], [after + 5.0])
    assert bad["beats_naive"] is False
    assert "does not beat the naive" in bad["verdict"]
    # One large error: a lower MAE, a higher RMSE.
    spiky = after.copy()
    spiky[5] += 10
    assert (
        "better in one measure and worse in the other"
        in evaluate(spec, [sequence], [spiky])["verdict"]
    )
    short = evaluate(spec, [sequence], [after], season=100)
    assert "beats_seasonal" not in short
    assert "No step has known values both ahead and a season (100 steps) before" in short["verdict"]


def regress_spec(means: dict[str, float]) -> ModelSpec:
    """means: of each target's training split."""
    answer = Regress(tuple(means), tuple(means.values()), (1.0,) * len(means))
    return ModelSpec(INPUTS, chain(1, 2, 1, len(means)), answer)


Rows = list[list[float]]


def regressed(means: dict[str, float], truth: Rows, answers: Rows) -> dict[str, Any]:
    """truth, answers: a row for each step."""
    sequence = Sequence("s", "g", np.zeros((len(truth), 1)), y=np.array(truth))
    return evaluate(regress_spec(means), [sequence], [np.array(answers)])


def test_a_stretch_longer_than_a_season_may_have_no_step_to_compare() -> None:
    spec = forecast_spec(8)
    x = np.random.default_rng(0).normal(size=(17, 2))
    found = evaluate(spec, [Sequence("s", "g", x)], [np.zeros((17, 8))], season=10)
    assert set(found["baselines"]) == {"naive"}
    assert found["verdict"].splitlines()[1] == (
        "No step has known values both ahead and a season (10 steps) before, so there is no "
        "seasonal naive forecast to compare with."
    )


def test_each_target_of_a_regression_is_judged_on_a_line_of_its_own() -> None:
    truth = [[1.0, 1000.0], [2.0, 3000.0], [3.0, 1000.0], [4.0, 3000.0]]
    answers = [[1.5, 1000.0], [1.5, 3000.0], [3.5, 1000.0], [3.5, 5400.0]]
    found = regressed({"level": 2.0, "swing": 2000.0}, truth, answers)
    # Errors of level: 0.5 four times. Of its mean: 1, 0, 1, 2, so an RMSE of sqrt(6 / 4) = 1.225,
    # and 0.5 / 1.225 = 0.408.
    # Errors of swing: 0, 0, 0, 2400, so an RMSE of 2400 / 2. Of its mean: 1000 four times.
    assert found["verdict"].splitlines() == [
        "level: The model beats the mean of the training split over all steps: "
        "MAE 0.5 against 1 (50.0 % lower), RMSE 0.5 against 1.225 (59.2 % lower).",
        "swing: The model is better in one measure and worse in the other than "
        "the mean of the training split over all steps: "
        "MAE 600 against 1000 (40.0 % lower), RMSE 1200 against 1000 (20.0 % higher). "
        "A constant, the test split's mean, would do better: the NRMSE is 1.2.",
    ]
    assert found["beats_mean"] is False  # not of both
    assert [found[key] for key in ("mae", "rmse", "mae_last", "rmse_last")] == [None] * 4
    swing = {"mae": 600, "rmse": 1200, "nrmse": 1.2, "mae_last": 2400, "rmse_last": 2400}
    # Answers of 1000, 3000, 1000 and 5400 deviate by sqrt(1600^2 + 400^2 + 1600^2 + 2800^2) / 2.
    swing["spread"] = 1.811077
    assert found["per_target"]["swing"] == pytest.approx(swing)
    assert found["baselines"]["mean"]["per_target"]["swing"]["mae_last"] == 1000
    # The truths deviate by sqrt(1.25) and 1000.
    assert found["nrmse"] == pytest.approx((0.5 / math.sqrt(1.25) + 1.2) / 2)
    means = {"level": 2.0, "swing": 2000.0}
    # Swing: 1000.5 and 999.5 by turns, which are 1000 in both measures.
    better = regressed(means, truth, [[level, 2000.5] for level, _ in answers])
    assert better["beats_mean"] is False
    assert "swing: The model does not beat" in better["verdict"]
    best = regressed(means, truth, [[*a[:1], *y[1:]] for a, y in zip(answers, truth, strict=True)])
    assert best["beats_mean"] is True


def test_each_target_of_a_forecast_is_judged_on_a_line_of_its_own() -> None:
    """a repeats every 2 steps, and b rises by 100 a step."""
    x = np.array([[0.0, 0.0], [1.0, 100.0], [0.0, 200.0], [1.0, 300.0], [0.0, 400.0], [1.0, 500.0]])
    answers = np.concatenate([x[1:], [[0.0, 0.0]]]) + np.array([0.5, 100.0])
    spec = forecast_spec(1, ("a", "b"))
    found = evaluate(spec, [Sequence("s", "g", x)], [answers], season=2)
    assert found["steps"] == 3
    # The truths deviate by sqrt(2 / 9) and by sqrt(20000 / 3): 0.5 / 0.4714 and 100 / 81.65.
    constant = "A constant, the test split's mean, would do better: the NRMSE is"
    assert found["verdict"].splitlines() == [
        "a: The model has lower errors than the naive forecast (last value): "
        "MAE 0.5 against 1 (50.0 % lower), RMSE 0.5 against 1 (50.0 % lower). "
        "The model does not beat the seasonal naive forecast (2 steps before): "
        f"MAE 0.5 against 0 (higher), RMSE 0.5 against 0 (higher). {constant} 1.061.",
        "b: The model does not beat the naive forecast (last value): "
        "MAE 100 against 100 (the same), RMSE 100 against 100 (the same). "
        "The model has lower errors than the seasonal naive forecast (2 steps before): "
        f"MAE 100 against 200 (50.0 % lower), RMSE 100 against 200 (50.0 % lower). {constant} "
        "1.225.",
    ]
    assert (found["beats_naive"], found["beats_seasonal"]) == (False, False)


@pytest.mark.parametrize(
    ("model", "baseline", "verb", "figures"),
    [
        # 1 - 0.7519 / 0.7612 = 0.01222
        (0.75194, 0.76118, "beats", "0.7519 against 0.7612 (1.2 % lower)"),
        # Lower by 0.01 %, but for the rounding.
        (0.75186, 0.75194, "does not beat", "0.7519 against 0.7519 (the same)"),
        (0.75184, 0.75194, "beats", "0.7518 against 0.7519 (0.01 % lower)"),
        # 0.05 % before rounding.
        (12345.6, 12340.0, "does not beat", "1.235e+04 against 1.234e+04 (0.08 % higher)"),
        (0.5, 0.0, "does not beat", "0.5 against 0 (higher)"),
        (0.0, 0.0, "does not beat", "0 against 0 (the same)"),
    ],
)
def test_verdict_and_percentage_are_those_of_the_figures_printed(
    model: float,
    baseline: float,
    verb: str,
    figures: str,
) -> None:
    """One step, so that both measures are its error."""
    found = regressed({"level": baseline}, [[0.0]], [[model]])
    title = "the mean of the training split over all steps"
    assert found["verdict"] == f"The model {verb} {title}: MAE {figures}, RMSE {figures}."
    assert found["beats_mean"] is (verb == "beats")


def test_better_in_one_measure_and_the_same_in_the_other() -> None:
    found = regressed({"level": 1.0}, [[0.0], [0.0]], [[math.sqrt(2)], [0.0]])
    assert found["verdict"] == (
        "The model is better in one measure than the mean of the training split over all steps "
        "and the same in the other: "
        "MAE 0.7071 against 1 (29.3 % lower), RMSE 1 against 1 (the same)."
    )
    assert found["beats_mean"] is False


def test_a_target_that_never_changes_counts_in_no_nrmse() -> None:
    truth = [[1.0, 5.0], [3.0, 5.0]]
    answers = [[1.5, 6.0], [3.5, 6.0]]
    found = regressed({"level": 1.0, "swing": 0.0}, truth, answers)
    assert found["per_target"]["swing"]["nrmse"] is None
    # Level: an error of 0.5, a deviation of 1.
    assert found["nrmse"] == found["per_target"]["level"]["nrmse"] == pytest.approx(0.5)


def test_a_truth_that_never_changes_has_no_nrmse() -> None:
    found = evaluate(forecast_spec(1), [Sequence("s", "g", np.ones((5, 2)))], [np.ones((5, 1))])
    assert found["nrmse"] is None
    assert found["mae"] == 0
    assert found["beats_naive"] is False
    json.dumps(found, allow_nan=False)


def test_answers_that_do_not_fit_are_refused() -> None:
    sequence = Sequence("s", "g", np.zeros((3, 1)), 0)
    with pytest.raises(DataError, match="0 answers for 1 sequences"):
        evaluate(CLASSIFY, [sequence], [])
    with pytest.raises(DataError, match=r"the answers have shape \(2, 3\), expected \(3, 3\)"):
        evaluate(CLASSIFY, [sequence], [logits(0, 1)])
    gaps = np.array([[0, 0, 0], [0, 0, np.nan], [np.inf, 0, 0]])
    with pytest.raises(DataError, match="answer at step 1 is not finite"):  # the first one
        evaluate(CLASSIFY, [sequence], [logits(0, 1, 2) + gaps])
    with pytest.raises(DataError, match="no step of the 1 sequences"):
        evaluate(forecast_spec(5), [Sequence("s", "g", np.zeros((3, 2)))], [np.zeros((3, 5))])
