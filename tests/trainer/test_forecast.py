"""From a configuration with listed steps ahead, quantiles and bounds to a run and its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from edge_lstm import evaluate, load_run, train
from edge_lstm.cli.train import closing
from edge_lstm.config.schema import Config
from edge_lstm.results.answers import answers, outputs
from edge_lstm.training.losses import PinballLoss
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.session import Session
from helpers.configs import FORECAST

Configure = Callable[..., Config]
QUANTILES = (
    (
        "horizon = 3",
        "horizon = [1, 4]\nquantiles = [0.1, 0.5, 0.9]\nlow = { b = -0.5 }\nhigh = 0.6",
    ),
    ("epochs = 2", "epochs = 12"),
)


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("refit", [False, True])
def test_quantiles_of_listed_steps_within_bounds(
    configure: Configure, tmp_path: Path, refit: bool
) -> None:
    config = configure(FORECAST, *QUANTILES, train__refit=refit, train__learning_rate=0.02)
    run = train(config, tmp_path / "run", quiet=True)
    answer = run.spec.answer
    assert answer.names == tuple(f"b+{k}@{q}" for k in (1, 4) for q in (0.1, 0.5, 0.9))
    assert (answer.low, answer.high) == ((-0.5,), (0.6,))
    assert len(answer.widths) == 6
    assert answer.widths[1] == answer.widths[4] == 1.0
    assert min(answer.widths) > 0
    assert len(set(answer.widths)) > 2
    # One offset and scale for the quantiles of a value.
    for numbers in (answer.offset, answer.scale):
        assert len(set(numbers[:3])) == len(set(numbers[3:])) == 1
    found = run.metrics
    measured = answers(run.model, run.splits.test)
    season = run.config.data.season
    assert found["test"] == evaluate(run.spec, run.splits.test, measured, season=season)
    (made,) = answers(run.model, run.splits.test)
    assert made.min() == np.float32(-0.5)
    assert made.max() == np.float32(0.6)
    assert (np.diff(made.reshape(-1, 2, 3)) >= 0).all()
    for part in ("val", "test"):
        steps = found[part]["per_step"]
        assert [s["ahead"] for s in steps] == [1, 4]
        assert {*steps[0]["coverage"]} == {"0.8"}
    # The widths are those with which the first training's answers hold the validation split.
    model = run.model
    if refit:
        model.load_state_dict(torch.load(run.path / "first.pt", weights_only=True)["model"])
    (raw,) = outputs(model, run.splits.val)
    raw = raw.astype(np.float64).reshape(-1, 2, 3)
    moved = raw[..., [1]] + np.reshape(answer.widths, (2, 3)) * (raw - raw[..., [1]])
    for k, ahead in enumerate((1, 4)):
        truth = (run.splits.val[0].x[ahead:, 1] - answer.offset[3 * k]) / answer.scale[3 * k]
        ends = np.sort(moved[: len(truth), k])
        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 2])
        assert inside.mean() == pytest.approx(0.8, abs=1.5 / len(truth))
    told = closing(run)
    assert "test error      1 step ahead: MAE " in told
    assert "test error      4 steps ahead: MAE " in told
    assert "of the values are within the 80 % interval (1 step ahead: " in told


@pytest.mark.usefixtures("forecast_csv")
def test_what_a_session_answers_is_what_was_measured(configure: Configure, tmp_path: Path) -> None:
    run = train(configure(FORECAST, *QUANTILES), tmp_path / "run", quiet=True)
    coverage = [s["coverage"]["0.8"] for s in run.metrics["test"]["per_step"]]
    inside = []
    (sequence,) = run.splits.test
    with Session(run.spec, Reference(run.spec, run.weights)) as session:
        found = session.run(sequence.x).reshape(-1, 2, 3)[:-4]
    for k, ahead in enumerate((1, 4)):
        truth = sequence.x[ahead : ahead + len(found), 1]
        inside.append(((found[:, k, 0] <= truth) & (truth <= found[:, k, 2])).mean())
    assert coverage == pytest.approx(inside, abs=1 / len(found))


@pytest.mark.usefixtures("forecast_csv")
def test_a_run_whose_end_was_lost_ends_the_same_way(configure: Configure, tmp_path: Path) -> None:
    """The widths are in best.pt already, and are not applied twice."""
    config = configure(FORECAST, *QUANTILES)
    run = train(config, tmp_path / "run", quiet=True)
    before = json.loads((run.path / "metrics.json").read_text())
    (run.path / "metrics.json").unlink()
    again = train(config, run.path, resume=True, quiet=True)
    assert again.spec == run.spec == load_run(run.path).spec
    after = json.loads((run.path / "metrics.json").read_text())
    assert (after["val"], after["test"]) == (before["val"], before["test"])


@pytest.mark.usefixtures("forecast_csv")
def test_a_season_shorter_than_the_horizon(configure: Configure, tmp_path: Path) -> None:
    config = configure(FORECAST, ("horizon = 3", "horizon = [1, 25]"), data__season=10)
    run = train(config, tmp_path / "run", quiet=True)
    (sequence,) = run.splits.test
    b = sequence.x[:, 1]
    rows = np.arange(10, len(b) - 25)
    steps = run.metrics["test"]["baselines"]["seasonal"]["per_step"]
    # One season before, and three: the last one that is known 25 steps ahead.
    for step, lag in zip(steps, (1 - 10, 25 - 30), strict=True):
        error = b[rows + lag] - b[rows + step["ahead"]]
        assert step["mae"] == pytest.approx(np.abs(error).mean())
        assert step["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert run.metrics["test"]["steps"] == len(rows)


def test_the_pinball_loss_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    made = rng.normal(size=(4, 7, 6))
    truth = rng.normal(size=(4, 7, 2))
    mask = rng.random((4, 7)) < 0.7
    levels = (0.1, 0.5, 0.8)
    wanted = np.where(mask[..., None], np.repeat(truth, 3, axis=2), np.nan)
    tensors = (torch.from_numpy(a).float() for a in (made, np.nan_to_num(wanted)))
    outputs_, y = tensors
    outputs_.requires_grad_(True)
    loss = PinballLoss(quantiles=levels)
    total = loss(outputs_, y, torch.from_numpy(mask), torch.zeros(4))
    expected = sum(
        mask.sum() * mean_pinball_loss(truth[mask][:, j], made[mask][:, 3 * j + n], alpha=q)
        for j in range(2)
        for n, q in enumerate(levels)
    )
    assert total.item() == pytest.approx(expected, rel=1e-5)
    total.backward()
    assert outputs_.grad is not None
    below = made[mask] < np.repeat(truth, 3, axis=2)[mask]
    slope = np.where(below, -np.tile(levels, 2), 1 - np.tile(levels, 2))
    np.testing.assert_allclose(outputs_.grad.numpy()[mask], slope, atol=1e-6)
    assert not outputs_.grad.numpy()[~mask].any()


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("low = { c = 0 }", r"\[model\] low: 'c' is not among the targets \['b'\]"),
        ("high = { a = 0 }", r"\[model\] high: 'a' is not among the targets \['b'\]"),
        ("low = { b = 2 }\nhigh = { b = 1 }", "low: expected less than `high` of 'b', 1"),
        ("low = { b = 2 }\nhigh = 1", "low: expected less than `high` of 'b', 1"),
        ("low = 3\nhigh = { b = 3 }", "low = 3: expected less than `high` of 'b', 3"),
    ],
)
def test_bounds_that_hold_nothing_are_refused(
    configure: Configure, tmp_path: Path, key: str, message: str
) -> None:
    changed = ("horizon = 3", f"horizon = 3\n{key}")
    with pytest.raises((ConfigError, DataError), match=message):
        train(configure(FORECAST, changed), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("forecast_csv")
def test_a_configuration_comes_back_from_its_run(configure: Configure, tmp_path: Path) -> None:
    config = configure(FORECAST, *QUANTILES)
    (tmp_path / "again.toml").write_text(config.to_toml())
    again = Config.from_dict(config.to_dict(), config.folder)
    assert again.to_dict() == config.to_dict()
    assert again.model == config.model
