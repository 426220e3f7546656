"""One trial: a run without a look at the test split, and the metric of each draw and format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm import load_run, train
from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config
from edge_lstm.data.load import load_data
from edge_lstm.search.budget import Budget
from edge_lstm.search.plan import Plan
from edge_lstm.search.rows import Row
from edge_lstm.search.setting import make_setting
from edge_lstm.search.trial import Trials
from edge_lstm.training.trial import train_trial
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.session import Session
from helpers.configs import DRAWN

CLASSIFY = f"""{DRAWN}epochs = 4
refit = true
threads = 1
[search]
draws = 2
"""
Configure = Callable[..., Config]


@pytest.fixture
def config(classify_csv: Path, configure: Configure) -> Config:  # noqa: ARG001 - writes the data
    return configure(CLASSIFY)


@pytest.fixture
def trials(config: Config, tmp_path: Path) -> Trials:
    setting = make_setting(config, Budget({"bytes": 1e6}), "", tmp_path)
    return Trials(setting.plan, tmp_path, setting.costs)


VALUES: dict[str, Any] = {
    "type": "gru",
    "hidden_size": 5,
    "num_layers": 1,
    "learning_rate": 0.02,
    "weight_decay": 0.003,
    "transforms": "configured",
}


def test_the_draws_leave_the_test_split_alone(trials: Trials, config: Config) -> None:
    plan = trials.plan
    before = load_data(config)
    found = [plan.splits(draw) for draw in range(4)]
    tests = {tuple(s.name for s in splits.test) for splits in found}
    assert tests == {tuple(s.name for s in before.test)}
    groups = [{s.group for s in splits.val} for splits in found]
    assert groups[0] == {s.group for s in before.val}
    assert len(set(map(frozenset, groups))) > 1  # others
    for splits in found:
        assert not {s.group for s in splits.val} & {s.group for s in splits.train}
    assert [plan.drawn(config, draw).train.seed for draw in range(3)] == [0, 1, 2]
    assert not plan.drawn(config, 0).train.refit
    assert plan.chosen(VALUES).train.refit


def test_a_split_by_time_has_other_seeds_alone(trials: Trials) -> None:
    split = trials.plan.config.data.split.model_copy(update={"by": "time"})
    data = trials.plan.config.data.model_copy(update={"split": split})
    plan = dataclasses.replace(
        trials.plan, config=trials.plan.config.model_copy(update={"data": data})
    )
    assert not plan.redrawn
    assert plan.drawn(plan.config, 3).data.split.seed == split.seed
    assert plan.drawn(plan.config, 3).train.seed == 3


def test_a_trial(trials: Trials, tmp_path: Path) -> None:
    row = trials.run(7, VALUES, [])
    assert (row.number, row.values, row.stopped, row.epochs) == (7, VALUES, "", 2 * 4)
    assert set(row.metrics) == set(row.costs) == {"float32", "int8"}
    assert trials.plan.metric == "accuracy"
    for draw in range(2):
        folder = tmp_path / "trials" / "007" / f"draw{draw}"
        assert not (folder / "metrics.json").exists()
        run = load_run(folder)
        # The metric in float32, by NumPy in float64 on what the splits hold.
        assert (run.spec.network.layers[0].type, run.config.train.threads) == ("gru", 1)
        assert row.metrics["float32"][draw] == max(
            r["val_accuracy"] for r in run.history if r["epoch"] == _best(run.history)
        )
        assert row.metrics["int8"][draw] == pytest.approx(_accuracy_of_the_kernel(run, trials))
    losses = [r["val_loss"] for r in load_run(tmp_path / "trials/007/draw0").history]
    assert row.curve == (-np.minimum.accumulate(losses)).tolist()
    assert Row(**row.to_dict()) == row


def _best(history: list[dict[str, float]]) -> float:
    return min(history, key=lambda r: r["val_loss"])["epoch"]


def _accuracy_of_the_kernel(run: Any, trials: Trials) -> float:
    """At the last step of each sequence, in int8 as the C kernel computes it."""
    draw = int(run.path.name[-1])
    right = []
    for sequence in trials.plan.splits(draw).val:
        session = Session(run.spec, NativeBackend(run.spec, run.weights, "int8"))
        right.append(session.run(sequence.x)[-1].argmax() == sequence.label)
    return float(np.mean(right))


def test_a_trial_is_a_run_that_train_finishes(trials: Trials, tmp_path: Path) -> None:
    trials.run(0, VALUES, [])
    folder = tmp_path / "trials" / "000" / "draw1"
    weights = load_run(folder).weights
    config = trials.plan.configured(VALUES, 1)
    found = train(config, folder, resume=True, quiet=True)
    assert found.metrics["test"]["accuracy"] is not None
    assert all(np.array_equal(found.weights[name], weights[name]) for name in weights)
    alone = train(config, tmp_path / "alone", quiet=True)
    assert all(np.array_equal(alone.weights[name], weights[name]) for name in weights)


def test_an_interrupted_trial_goes_on_to_the_same_result(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_lstm.training.loop.SAVE_EVERY", 0.0)
    calls = 0

    def dies() -> None:
        nonlocal calls
        calls += 1
        if calls == 6:  # in the second draw
            raise SystemExit

    whole = Trials(trials.plan, tmp_path / "whole", trials.costs).run(3, VALUES, [])
    trials.alive = dies
    with pytest.raises(SystemExit):
        trials.run(3, VALUES, [])
    trials.alive = lambda: None
    row = trials.run(3, VALUES, [])
    assert (row.metrics, row.curve, row.epochs) == (whole.metrics, whole.curve, whole.epochs)


def test_a_trial_that_its_peers_beat_ends_early(trials: Trials, tmp_path: Path) -> None:
    first = trials.run(0, VALUES, [])
    rivals = [dataclasses.replace(first, number=k, curve=[0.0] * 4) for k in range(1, 5)]
    row = trials.run(9, VALUES, rivals)
    assert row.stopped == "worse than the median of 4 trials that cost no more"
    assert row.epochs == 2  # 0.3 of 4 epochs are more than one
    assert len(row.metrics["float32"]) == 1
    assert not (tmp_path / "trials" / "009" / "draw1").exists()
    for others in (rivals, []):  # as after a kill, when its peers may be others
        again = trials.run(9, VALUES, others)
        assert (again.stopped, again.epochs, again.metrics) == (row.stopped, 2, row.metrics)


def test_the_watch_is_asked_after_every_epoch(config: Config, tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(history: list[dict[str, float]]) -> str:
        seen.append(len(history))
        return "enough" if len(history) == 2 else ""

    plain = config.model_copy(update={"train": config.train.model_copy(update={"refit": False})})
    run, ended = train_trial(plain, tmp_path / "run", load_data(plain), watch)
    assert ended == "stopped after epoch 2: enough"
    assert seen == [1, 2]
    assert len(run.history) == 2


def test_a_plan_survives_its_file(trials: Trials, tmp_path: Path) -> None:
    plan = trials.plan
    again = Plan.from_dict(plan.to_dict(), str(tmp_path))
    assert again.to_dict() == plan.to_dict()
    assert again.digest == plan.digest
    assert again.configured(VALUES, 1).to_dict() == plan.configured(VALUES, 1).to_dict()
    other = dataclasses.replace(plan, budget=Budget({"bytes": 1e6 + 1}))
    assert other.digest != plan.digest


def test_the_chosen_configuration_is_a_file(trials: Trials, tmp_path: Path) -> None:
    chosen = trials.plan.chosen(VALUES)
    (tmp_path / "chosen.toml").write_text(chosen.to_toml())
    read = load_config(tmp_path / "chosen.toml")
    assert (read.model.type, read.model.hidden_size) == ("gru", 5)
    assert (read.train.learning_rate, read.train.weight_decay) == (0.02, 0.003)
    assert read.train.refit
    assert read.data.split == trials.plan.config.data.split
