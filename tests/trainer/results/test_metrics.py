"""Metrics against plain loops and numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_lstm import Sequence, evaluate
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec

CLASSIFY = ModelSpec("classify", ("a",), 2, 1, (0.0,), (1.0,), classes=("x", "y", "z"))


def forecast_spec(horizon: int, targets: tuple[str, ...] = ("a",), missing: str = "refuse") -> ModelSpec:
    outputs = horizon * len(targets)
    return ModelSpec.from_dict(
        {
            "task": "forecast",
            "channels": ["a", "b"],
            "hidden_size": 2,
            "num_layers": 1,
            "input_mean": [0.5, 0.0],
            "input_std": [1.0, 1.0],
            "targets": list(targets),
            "horizon": horizon,
            "output_offset": [0.0] * outputs,
            "output_scale": [1.0] * outputs,
            "missing": missing,
        }
    )


def logits(*classes: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[list(classes)]


def test_classify_by_hand() -> None:
    truth = [0, 0, 1, 2]
    sequences = [Sequence(f"s{k}", "g", np.zeros((3 if k else 2, 1)), label) for k, label in enumerate(truth)]
    # The last answers are x, y, y, x.
    found = evaluate(CLASSIFY, sequences, [logits(2, 0), logits(0, 0, 1), logits(1, 1, 1), logits(2, 2, 0)])
    assert found["accuracy"] == 0.5
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    # F1: x has 1 right of 2 answers and 2 truths, y 1 of 2 and 1, z none: (1/2 + 2/3 + 0) / 3.
    assert found["macro_f1"] == pytest.approx((1 / 2 + 2 / 3) / 3, abs=1e-6)
    assert found["accuracy_all_steps"] == pytest.approx((1 + 2 + 3 + 2) / 11, abs=1e-6)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("season", [None, 5])
@pytest.mark.parametrize("targets", [("a",), ("b", "a")])
@pytest.mark.parametrize("horizon", [1, 3])
def test_forecast_against_a_plain_loop(season: int | None, targets: tuple[str, ...], horizon: int) -> None:
    spec = forecast_spec(horizon, targets, "ffill")
    rng = np.random.default_rng(0)
    sequences, answers = [], []
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
            last = np.array([x[max(i for i in range(t + 1) if np.isfinite(x[i, c])), c] for c in columns])
            before = np.array([[x[t + k - season, c] for c in columns] for k in range(1, horizon + 1)]) if season else truth
            if np.isnan(truth).any() or np.isnan(before).any():
                continue
            truths.append(truth)
            errors["model"].append(answer[t].reshape(truth.shape) - truth)
            errors["naive"].append(last - truth)
            errors["seasonal"].append(before - truth)
    found = evaluate(spec, sequences, answers, season=season)
    std = np.stack(truths).std(axis=(0, 1))
    for name, figures in (("model", found), *found["baselines"].items()):
        e = np.stack(errors[name])
        assert figures["mae"] == pytest.approx(np.abs(e).mean())
        assert figures["rmse"] == pytest.approx(np.sqrt((e**2).mean()))
        assert figures["nrmse"] == pytest.approx((np.sqrt((e**2).mean(axis=(0, 1))) / std).mean())
    e = np.stack(errors["model"])
    assert found["steps"] == len(e)
    for k, step in enumerate(found["per_step"]):
        assert step["ahead"] == k + 1
        assert step["mae"] == pytest.approx(np.abs(e[:, k]).mean())
        assert step["rmse"] == pytest.approx(np.sqrt((e[:, k] ** 2).mean()))
    for j, target in enumerate(targets):
        assert found["per_target"][target]["rmse"] == pytest.approx(np.sqrt((e[:, :, j] ** 2).mean()))
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
    assert "The LSTM beats the naive forecast (last value): MAE 0.01 against" in good["verdict"]
    assert "does not beat the seasonal naive forecast (12 steps before)" in good["verdict"]
    bad = evaluate(spec, [sequence], [after + 5.0])
    assert bad["beats_naive"] is False
    assert "does not beat the naive" in bad["verdict"]
    # One large error: a lower MAE, a higher RMSE.
    spiky = after.copy()
    spiky[5] += 10
    assert "better in one measure and worse in the other" in evaluate(spec, [sequence], [spiky])["verdict"]
    short = evaluate(spec, [sequence], [after], season=100)
    assert "beats_seasonal" not in short
    assert "No stretch is longer than a season of 100 steps" in short["verdict"]


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
    with pytest.raises(DataError, match="answer at step 1 is not finite"):
        evaluate(CLASSIFY, [sequence], [logits(0, 1, 2) + np.array([[0], [np.nan], [0]])])
    with pytest.raises(DataError, match="no step of the 1 sequences"):
        evaluate(forecast_spec(5), [Sequence("s", "g", np.zeros((3, 2)))], [np.zeros((3, 5))])
