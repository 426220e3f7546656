"""A forecast whose configuration has no `season`, of data that repeats every 10 rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_lstm import load_config, load_run, train
from edge_lstm.cli.train import closing
from edge_lstm.config.schema import Config
from helpers.configs import CLASSIFY, FORECAST

Configure = Callable[..., Config]


@pytest.mark.usefixtures("forecast_csv")
def test_a_period_that_is_found_is_compared_with_and_told(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure(FORECAST)
    run = train(config, tmp_path / "run", quiet=True)
    found = run.metrics["season"]
    assert {key: found[key] for key in ("target", "every", "used")} == {
        "target": "b",
        "every": 10,
        "used": True,
    }
    assert 0.9 < found["autocorrelation"] < 1
    for part in ("val", "test"):
        assert set(run.metrics[part]["baselines"]) == {"naive", "seasonal"}
    assert "seasonal naive forecast (10 steps before)" in run.metrics["test"]["verdict"]
    (told,) = [line for line in closing(run).splitlines() if "repeats every" in line]
    assert told.startswith("note            b repeats every 10 steps (autocorrelation 1.00 of its")
    assert told.endswith("that is taken as `season`, which is not set in [data].")
    assert load_run(run.path).config.data.season == 10  # the export compares with it too
    assert load_config(run.path / "config.toml").data.season == 10
    assert config.data.season is None
    for same in (config, run.config):
        (run.path / "metrics.json").unlink()
        assert train(same, run.path, resume=True, quiet=True).metrics == run.metrics


@pytest.mark.usefixtures("forecast_csv")
def test_a_season_that_is_set_is_taken_as_it_is(configure: Configure, tmp_path: Path) -> None:
    run = train(configure(FORECAST, data__season=7), tmp_path / "run", quiet=True)
    assert "season" not in run.metrics
    assert "repeats" not in closing(run)
    assert "(7 steps before)" in run.metrics["test"]["verdict"]


@pytest.mark.usefixtures("forecast_csv")
def test_a_period_that_leaves_too_little_to_measure_is_told_alone(
    configure: Configure, tmp_path: Path
) -> None:
    """Of the 14 rows of the test split 11 have a known future, and 1 of them a season before it."""
    config = configure(FORECAST, ("test = 0.2", "test = 0.07"))
    run = train(config, tmp_path / "run", quiet=True)
    assert run.config.data.season is None
    assert set(run.metrics["test"]["baselines"]) == {"naive"}
    (told,) = [line for line in run.metrics["notes"] if "repeats every" in line]
    assert told.endswith("set season = 10 in [data] to compare with the same time a period before.")


@pytest.mark.usefixtures("classify_csv")
def test_other_tasks_have_no_season(configure: Configure, tmp_path: Path) -> None:
    run = train(configure(CLASSIFY), tmp_path / "run", quiet=True)
    assert "season" not in run.metrics
