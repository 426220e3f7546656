"""`edge-lstm train --folds`: every group is tested once, by a run that has not seen it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_lstm import load_config, load_run
from edge_lstm.config.schema import Config
from edge_lstm.training.folds import fold_configs, train_folds
from edge_lstm_runtime import cli
from edge_lstm_runtime.errors import ConfigError, DataError, TrainingError
from helpers.configs import CLASSIFY

Configure = Callable[..., Config]
DRAWN = ('val = ["s4"]\ntest = ["s5"]\n', "val = 0.2\n")


def test_every_group_is_held_out_once_and_seen_by_no_part_of_its_fold(
    configure: Configure, classify_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(CLASSIFY, DRAWN)
    config = str(classify_csv.with_name("config.toml"))
    out = tmp_path / "folds"
    assert (
        cli.main(["train", config, "--folds", "2", "-o", str(out), "--set", "train.epochs=1"]) == 0
    )
    printed = capsys.readouterr()
    assert "fold 1 of 2: " in printed.err
    runs = [load_run(out / f"fold{k}") for k in range(2)]
    held_out = [{s.group for s in run.splits.test} for run in runs]
    assert sorted(map(len, held_out)) == [2, 3]
    assert held_out[0] | held_out[1] == {"s1", "s2", "s3", "s4", "s5"}
    for run, test in zip(runs, held_out, strict=True):
        others = [{s.group for s in part} for part in (run.splits.train, run.splits.val)]
        assert others[0] | others[1] | test == {"s1", "s2", "s3", "s4", "s5"}
        assert not others[0] & others[1]
        assert not (others[0] | others[1]) & test
    found = json.loads((out / "folds.json").read_text())
    assert [set(fold["test"]) for fold in found["folds"]] == held_out
    values = [run.metrics["test"]["accuracy"] for run in runs]
    a, b = values
    assert [f["metrics"]["accuracy, last step"] for f in found["folds"]] == values
    assert found["mean"]["accuracy, last step"] == pytest.approx((a + b) / 2)
    assert found["deviation"]["accuracy, last step"] == pytest.approx(abs(a - b) / 2**0.5)
    table = (out / "folds.md").read_text()
    assert table in printed.out
    assert "| fold1" in table
    assert f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}" in table


def test_a_finished_fold_is_kept_and_an_interrupted_one_goes_on(
    configure: Configure, classify_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(CLASSIFY, DRAWN, train__epochs=1)
    assert classify_csv.exists()
    out = tmp_path / "folds"
    table = train_folds(config, 2, out, quiet=True)
    with pytest.raises(TrainingError, match="holds a cross-validation already; go on with it by"):
        train_folds(config, 2, out, quiet=True)
    kept = (out / "fold0" / "metrics.json").stat().st_mtime_ns
    again = out / "fold1" / "metrics.json"
    again.unlink()
    (out / "folds.json").unlink()
    assert train_folds(config, 2, out, resume=True) == table
    assert "fold0: all 1 epochs done; there is nothing to resume" in capsys.readouterr().err
    assert (out / "fold0" / "metrics.json").stat().st_mtime_ns == kept
    assert again.exists()
    assert (out / "folds.json").exists()
    with pytest.raises(TrainingError, match="there is no cross-validation to resume"):
        train_folds(config, 2, tmp_path / "none", resume=True, quiet=True)


def test_folds_are_the_same_every_time_and_others_with_another_seed(
    configure: Configure, classify_csv: Path
) -> None:
    assert classify_csv.exists()

    def held_out(seed: int) -> list[object]:
        config = configure(CLASSIFY, DRAWN, data__split__seed=seed)
        return [one.data.split.test for one in fold_configs(config, 5)]

    assert held_out(0) == held_out(0)
    assert held_out(0) != held_out(1)
    assert sorted(map(str, held_out(0))) == [f"('s{k}',)" for k in range(1, 6)]


def test_numbers_have_folds_too(configure: Configure, classify_csv: Path, tmp_path: Path) -> None:
    """The metrics are the task's: here errors in units, and a baseline."""
    text = CLASSIFY.replace('label = "activity"\n', "").replace('"classify"', '"regress"')
    config = configure(
        text,
        DRAWN,
        ('channels = ["a", "b"]', 'channels = ["a"]'),
        ("hidden_size = 6", 'hidden_size = 6\ntargets = ["b"]'),
        train__epochs=1,
    )
    table = train_folds(config, 2, tmp_path / "folds", quiet=True)
    assert "RMSE, last step" in table
    assert "| the training split's mean |" in table
    assert classify_csv.exists()


@pytest.mark.parametrize(
    ("folds", "changes", "expected"),
    [
        (6, {}, (DataError, "5 groups are too few for 6 folds; expected at least 6")),
        (1, {}, (ConfigError, "--folds 1: expected at least 2")),
        (2, {"data.split.by": "time"}, (ConfigError, "by = 'time': folds are of whole groups")),
        (2, {"data.split.test": ["s1"]}, (ConfigError, "test names groups, which folds draw")),
        (2, {"data.split.val": ["s1"]}, (ConfigError, "val names groups.*; expected a fraction")),
        (2, {"train.devices": 2}, (ConfigError, "devices = 2: folds are trained on one")),
        (2, {"train.num_nodes": 3}, (ConfigError, "num_nodes = 3: folds are trained on one")),
    ],
)
def test_one_line_says_why_there_are_no_folds(
    configure: Configure,
    classify_csv: Path,
    tmp_path: Path,
    folds: int,
    changes: dict[str, object],
    expected: tuple[type[Exception], str],
) -> None:
    configure(CLASSIFY, DRAWN)
    config = load_config(classify_csv.with_name("config.toml"), changes)
    error, answer = expected
    with pytest.raises(error, match=answer) as caught:
        train_folds(config, folds, tmp_path / "folds", quiet=True)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "folds").exists()
