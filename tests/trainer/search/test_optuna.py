"""The study: which proposals are trained, what becomes of a dead worker's trial."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from edge_lstm.config.schema import Config
from edge_lstm.search import with_optuna
from edge_lstm.search.budget import Budget
from edge_lstm.search.setting import Setting, make_setting
from edge_lstm.search.trial import Trials
from edge_lstm.search.with_optuna import found, me, open_study, requeue, rows_of, work
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import DRAWN

CLASSIFY = f"""{DRAWN}epochs = 2
threads = 1
[search]
draws = 1
hidden_size = [2, 40]
num_layers = [1, 1]
transforms = ["configured"]
"""
Configure = Callable[..., Config]
# `ask` alone has no heartbeat, as a worker that is killed at once.
alone = pytest.mark.filterwarnings("ignore:Heartbeat of storage")


@pytest.fixture
def setting(classify_csv: Path, configure: Configure, tmp_path: Path) -> Setting:  # noqa: ARG001
    # RNN: H^2 + 4 H MACs. 15 units have 285, and the GRU and the LSTM of so many have more.
    return make_setting(configure(CLASSIFY), Budget({"macs": 300}), "", tmp_path)


def begin(setting: Setting, folder: Path, trials: int = 4) -> tuple[optuna.Study, Trials]:
    folder.mkdir(exist_ok=True)
    study = open_study(f"sqlite:///{folder}/study.db", setting.plan, trials)
    study.enqueue_trial(setting.start(), skip_if_exists=True)
    return study, Trials(setting.plan, folder, setting.costs)


def searched(setting: Setting, folder: Path, trials: int = 4) -> optuna.Study:
    study, one = begin(setting, folder, trials)
    work(study, one, trials)
    return study


def results(study: optuna.Study) -> list[dict[str, Any]]:
    rows = [row.to_dict() for row in rows_of(study)]
    for row in rows:
        row.pop("seconds")
        for costs in row["costs"].values():
            costs.pop("us")
    return rows


def test_over_the_budget_is_never_trained(
    configure: Configure,
    classify_csv: Path,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    folder = tmp_path / "search"
    # An LSTM of 3 units has 75, an RNN of 6 has 60.
    setting = make_setting(configure(CLASSIFY), Budget({"macs": 60}), "", tmp_path)
    study, one = begin(setting, folder)
    study.enqueue_trial({**setting.start(), "type": "lstm", "hidden_size": 3})
    work(study, one, 2)
    rows = rows_of(study)
    assert len(rows) == 2
    for row in rows:
        assert min(costs["macs"] for costs in row.costs.values()) <= 60
    pruned = study.get_trials(states=(TrialState.PRUNED,))
    assert pruned[0].params["hidden_size"] == 3
    assert pruned[0].constraints["budget"] == pytest.approx(75 / 60 - 1)
    for trial in pruned:
        assert trial.constraints["budget"] > 0
        assert not (folder / "trials" / f"{trial.number:03d}").exists()
    summed = found(study, setting.plan)
    assert (summed.over, summed.failed, summed.rows) == (len(pruned), {}, rows)
    trained = {f"{row.number:03d}" for row in rows}
    assert {p.name for p in (folder / "trials").iterdir()} == trained


def test_the_configuration_itself_comes_first(setting: Setting, tmp_path: Path) -> None:
    study, _ = begin(setting, tmp_path / "search")
    # An LSTM of 6 units has 4 * 6 * 8 + 18 + 12 = 222 MACs, so it fits as it is.
    assert setting.start()["hidden_size"] == 6
    begin(setting, tmp_path / "search")  # as another machine begins
    (first,) = study.get_trials()
    assert first.system_attrs["fixed_params"] == setting.start()


def test_a_start_that_is_too_large_gets_fewer_units(
    configure: Configure,
    classify_csv: Path,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    config = configure(CLASSIFY, ("hidden_size = 6", "hidden_size = 40"))
    start = make_setting(config, Budget({"macs": 300}), "", tmp_path).start()
    assert start["type"] == "lstm"
    assert start["hidden_size"] in (6, 7)  # 7 units have 287 MACs, 8 have 360
    assert 4 * start["hidden_size"] * (2 + start["hidden_size"]) < 300


def test_after_a_kill_it_goes_on_as_if_there_had_been_none(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one worker a search can be repeated exactly, so the whole one is the measure."""
    whole = results(searched(setting, tmp_path / "one"))
    parts = tmp_path / "two"
    study, one = begin(setting, parts)
    calls = 0

    def dies() -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise SystemExit

    one.alive = dies
    monkeypatch.setattr(with_optuna, "me", dead)  # for this process lives on
    with pytest.raises(SystemExit):
        work(study, one, 4)
    monkeypatch.undo()
    assert len(rows_of(study)) < 4
    assert study.get_trials(states=(TrialState.RUNNING,))
    again = results(searched(setting, parts))
    for row in (*whole, *again):
        row.pop("number")  # the killed trial took two
    assert again == whole


def dead() -> list[Any]:
    """The worker of a trial, as one that is gone has left it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = [platform.node(), process.pid, with_optuna.began_at(process.pid)]
    process.kill()
    process.communicate()
    return name


@alone
def test_a_dead_workers_trial_is_put_back_once(setting: Setting, tmp_path: Path) -> None:
    study, one = begin(setting, tmp_path / "search")
    trial = study.ask()
    values = dict(setting.start())
    for name, distribution in with_optuna_distributions(setting).items():
        trial._suggest(name, distribution)
    trial.set_user_attr("worker", dead())
    requeue(study)
    requeue(study)
    states = [(t.state, with_optuna.origin(t)) for t in study.get_trials()]
    assert states == [(TrialState.FAIL, 0), (TrialState.WAITING, 0)]
    work(study, one, 2)
    rows = rows_of(study)
    assert rows[0].number == 0
    assert len(rows) == 2  # it cost no trial
    assert rows[0].values == values
    assert found(study, setting.plan).failed == {}


def with_optuna_distributions(setting: Setting) -> dict[str, Any]:
    from edge_lstm.search.proposals import distributions

    return distributions(setting.plan.space)


@alone
def test_living_and_foreign_workers_keep_their_trials(setting: Setting, tmp_path: Path) -> None:
    study, _ = begin(setting, tmp_path / "search")
    for worker in (me(), ["another machine", 1, "1"]):
        study.ask().set_user_attr("worker", worker)
    requeue(study)
    assert [t.state for t in study.get_trials()] == [TrialState.RUNNING] * 2


@alone
def test_a_trial_that_kills_its_workers_is_given_up(setting: Setting, tmp_path: Path) -> None:
    study, _ = begin(setting, tmp_path / "search")
    for _ in range(with_optuna.RETRIES + 1):
        study.ask().set_user_attr("worker", dead())
        requeue(study)
    assert not study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING))
    assert found(study, setting.plan).failed == {0: "its worker died each time"}


def test_a_training_that_fails_counts_and_is_told(
    configure: Configure,
    classify_csv: Path,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    long = 'channels = ["a", "b"]\nwindow = 18'
    text = CLASSIFY.replace('channels = ["a", "b"]', long) + "window = [18, 19]\n"
    setting = make_setting(configure(text), Budget({}), "", tmp_path)
    study = searched(setting, tmp_path / "search", 2)
    summed = found(study, setting.plan)
    assert len(summed.rows) + len(summed.failed) == 2
    assert "has 15 steps, and the window 18" in summed.failed[0]  # a rest has 15 rows


def test_another_machine_goes_on_with_the_same_storage(setting: Setting, tmp_path: Path) -> None:
    study = searched(setting, tmp_path / "search", 1)
    url = f"sqlite:///{tmp_path}/search/study.db"
    there = Trials(setting.plan, tmp_path / "elsewhere", setting.costs)
    work(open_study(url, setting.plan, 2), there, 2)
    assert len(rows_of(study)) == 2
    (one,) = (tmp_path / "elsewhere" / "trials").iterdir()
    assert (one / "draw0" / "best.pt").exists()
    assert [p.name for p in (tmp_path / "search" / "trials").iterdir()] == ["000"]


def test_another_plan_is_another_study(
    setting: Setting, configure: Configure, tmp_path: Path
) -> None:
    study, _ = begin(setting, tmp_path / "search")
    other = make_setting(configure(CLASSIFY), Budget({"macs": 299}), "", tmp_path)
    another, _ = begin(other, tmp_path / "search")
    assert another.study_name != study.study_name


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nope", "--storage nope: not a URL"),
        ("sqlite:////proc/none/study.db", "can't be used .unable to open database file"),
        ("nosuchbase://host/name", "can't be used"),
        (
            "postgresql://user:secret@127.0.0.1:1/name",
            r"user:\*\*\*@127.0.0.1:1/name: can't be used",
        ),
    ],
)
def test_a_storage_that_can_not_be_used(url: str, said: str, setting: Setting) -> None:
    with pytest.raises(ConfigError, match=said) as e:
        open_study(url, setting.plan, 4)
    assert "\n" not in str(e.value)
    assert "secret" not in str(e.value)
