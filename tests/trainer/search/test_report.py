"""What a search writes, of trials that are made up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config
from edge_lstm.search.budget import Budget
from edge_lstm.search.engines import ENGINES, Found
from edge_lstm.search.importance import importance
from edge_lstm.search.report import chosen_of, write
from edge_lstm.search.rows import Row
from edge_lstm.search.run import Options, search
from edge_lstm.search.setting import Setting, make_setting
from edge_lstm_runtime.errors import ConfigError, MissingDependencyError
from edge_lstm_runtime.files import unsealed_json

CLASSIFY = """
[data]
source = "csv"
path = "data.csv"
channels = ["a", "b"]
label = "activity"
group = "subject"
window = 10
[data.split]
by = "group"
[model]
task = "classify"
hidden_size = 6
[train]
epochs = 2
refit = true
"""
Configure = Callable[..., Config]


@pytest.fixture
def setting(classify_csv: Path, configure: Configure, tmp_path: Path) -> Setting:  # noqa: ARG001
    return make_setting(configure(CLASSIFY), Budget({"bytes": 2000, "us": 9}), "", tmp_path)


def row(number: int, units: int, size: float, draws: list[float], stopped: str = "") -> Row:
    values: dict[str, Any] = {
        "type": "gru",
        "hidden_size": units,
        "num_layers": 1,
        "learning_rate": 0.0123,
        "weight_decay": 0.02,
        "window": 5,
        "transforms": "difference",
    }
    costs = {
        "float32": {"bytes": 4 * size, "macs": 10.0 * units, "us": 2.0},
        "int8": {"bytes": size, "macs": 10.0 * units, "us": float("inf")},
    }
    metrics = {"float32": draws, "int8": draws}
    return Row(number, values, metrics, costs, [-0.5], stopped, 4, 1.5)


ROWS = [
    row(0, 8, 1000, [0.9, 1.0, 0.95]),
    row(1, 4, 400, [0.9, 0.95, 1.0]),
    row(2, 16, 9000, [1.0, 1.0, 1.0]),  # over the budget
    row(3, 2, 100, [1.0], stopped="worse than others"),
]


def test_files(setting: Setting, tmp_path: Path) -> None:
    plan = setting.plan
    found = Found(ROWS, {7: "the loss is nan"}, 5, {"hidden_size": 0.75, "type": 0.25})
    chosen = chosen_of(plan, found)
    assert chosen is not None
    # In float32 trial 0 has 4,000 bytes, and 1,600 has trial 1. int8 can't be timed.
    assert (chosen.row.number, chosen.number_format) == (1, "float32")
    text = write(plan, found, chosen, "measured with a sundial", tmp_path)
    assert (tmp_path / "search.md").read_text() == text
    lines = text.splitlines()
    assert re.sub(" +", " ", lines[2]) == (
        "| **1** | **gru, 4 units** | float32 | 0.95 | 0.9, 0.95, 1 | 1,600 | 40 | 2 "
        "| rate 0.012, decay 0.02, window 5, with difference |"
    )
    assert "- accuracy is the mean over 3 trainings, on 2 validation recordings, others in" in text
    assert "moves a training's accuracy by up to 0.5." in text
    assert "- 4 trials were trained, 1 of them not to their end." in text
    assert "- Over the budget (bytes<=2,000, us<=9) and not trained: 5 proposals." in text
    assert "- Microseconds: measured with a sundial." in text
    # 0.9, 0.95 and 1 have a deviation of 0.05, over sqrt(3) that is 0.0289.
    assert "the best accuracy that keeps the budget (0.95 ± 0.029, trial 1): trial 1 in fl" in text
    assert "for accuracy: hidden_size 75%, type 25% (PED-ANOVA over 4 trials" in text
    assert "- Trial 7 failed: the loss is nan" in text
    values = unsealed_json((tmp_path / "search.json").read_bytes())
    assert values["chosen"]["trial"] == 1
    assert values["chosen"]["bytes"] == 1600
    assert len(values["trials"]) == 4
    assert values["failed"] == {"7": "the loss is nan"}
    json.dumps(values, allow_nan=False)  # JSON has no infinity
    read = load_config(tmp_path / "chosen.toml")
    assert (read.model.type, read.model.hidden_size, read.data.window) == ("gru", 4, 5)
    assert [t.type for t in read.data.derivation.transforms] == ["difference"]
    assert read.train.refit
    assert (tmp_path / "search.png").stat().st_size > 10_000


def test_a_search_that_can_not_begin_leaves_nothing(
    classify_csv: Path,  # noqa: ARG001
    configure: Configure,
    tmp_path: Path,
) -> None:
    options = Options(Budget({"us": 1e-6}), ENGINES.load("optuna").ENGINE, 1, 1)
    with pytest.raises(ConfigError, match="no net of the space fits; the smallest one"):
        search(configure(CLASSIFY), tmp_path / "found", options, quiet=True)
    assert not (tmp_path / "found").exists()


def test_none_is_chosen_if_none_fits(setting: Setting) -> None:
    assert chosen_of(setting.plan, Found(ROWS[2:], {}, 0, {})) is None


def test_importance_is_of_the_good_trials(setting: Setting) -> None:
    """`x` makes trials good, `y` makes them bad: being among the best depends on x."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    unit = FloatDistribution(0, 1)
    for k in range(100):
        x, y = (k % 10) / 10 + 0.05, (k // 10) / 10 + 0.05
        metric = 1.0 + x if x > 0.9 else (-5.0 if y < 0.2 else 0.0)
        params = {"x": x, "y": y}
        study.add_trial(
            optuna.create_trial(
                params=params, distributions={"x": unit, "y": unit}, values=[metric, 1.0]
            )
        )
    found = importance(study, setting.plan)
    assert list(found) == ["x", "y"]
    assert found["x"] > 0.9
    assert importance(optuna.create_study(directions=["maximize"] * 2), setting.plan) == {}


@pytest.mark.parametrize(("engine", "extra"), [("optuna", "search"), ("ray", "ray")])
def test_without_the_package(engine: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_lstm.search.engines.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=rf"^{engine} is not installed; .*{extra}\]"):
        ENGINES.load(engine).ENGINE.check()
    assert util.find_spec(engine) is not None
