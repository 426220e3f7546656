"""A training that is tracked elsewhere: what arrives there, and that it never stops a training."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_lstm import train
from edge_lstm.config.schema import Config
from edge_lstm.training import checkpoint
from edge_lstm.training.trackers import TRACKERS
from edge_lstm_runtime.errors import ConfigError, TrainingError
from helpers.commands import here
from helpers.configs import CLASSIFY
from helpers.fits import X, Y, small
from helpers.plug_ins import plug_in

# A tracker of another package. It writes what it is told to a file, and fails where it is asked to.
DIARY = """
import json, os
from edge_lstm.training.trackers import Tracker

class Diary(Tracker):
    needs = ("json",)

    def __init__(self, name, key):
        self._key = key or "page 1"
        self._write("open", name, key)

    def _write(self, *words):
        fault = os.environ.get("DIARY_FAULT", "")
        with open(os.environ["DIARY"], "a") as file:
            file.write(json.dumps(words) + "\\n")
        if fault and fault in json.dumps(words):
            raise KeyboardInterrupt if "stop" in os.environ else OSError("no\\nink")

    @property
    def key(self):
        return self._key

    def parameters(self, values):
        self._write("parameters", dict(values))

    def epoch(self, number, figures):
        self._write("epoch", number, dict(figures))

    def finish(self, figures, files):
        self._write("finish", dict(figures), [file.name for file in files if file.exists()])

    def close(self, status):
        self._write("close", status)

TRACKER = Diary
"""
LACKS = DIARY.replace('needs = ("json",)', 'needs = ("json", "no_such_package_here")')


@pytest.fixture(name="diary")
def _diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[Any]]]:
    folder = tmp_path / "site"
    folder.mkdir()
    plug_in(folder, "diaries", group="edge_lstm.trackers", diary=DIARY, lacks=LACKS)
    monkeypatch.syspath_prepend(folder)
    file = tmp_path / "diary.jsonl"
    monkeypatch.setenv("DIARY", str(file))
    return lambda: [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(name="config")
def _config(configure: Callable[..., Config], classify_csv: Path) -> Config:
    assert classify_csv.exists()
    return configure(CLASSIFY, train__epochs=3)


def words(told: list[list[Any]]) -> list[str]:
    """What was told, without its values."""
    return [f"{word} {rest[0]}" if word in ("epoch", "close") else word for word, *rest in told]


WHOLE = ["open", "parameters", "epoch 1", "epoch 2", "epoch 3", "finish", "close finished"]


def test_a_tracker_gets_what_the_run_has(
    config: Config, diary: Callable[[], list[list[Any]]], tmp_path: Path
) -> None:
    run = train(config, tmp_path / "run", quiet=True, trackers=["diary"])
    told = diary()
    assert words(told) == WHOLE
    assert told[0] == ["open", "run", None]
    (parameters,) = told[1][1:]
    assert parameters["train.epochs"] == 3
    assert parameters["model.task"] == "classify"
    assert parameters["network.parameters"] == sum(w.size for w in run.weights.values())
    for row, (_, number, figures) in zip(run.history, told[2:5], strict=True):
        assert number == row["epoch"]
        assert figures["loss/train"] == row["train_loss"]
        assert figures["loss/val"] == row["val_loss"]
        assert figures["run/learning_rate"] == row["learning_rate"]
        assert len(figures) == len(row) - 1
    figures, files = told[5][1:]
    assert figures["test/accuracy"] == run.metrics["test"]["accuracy"]
    never = run.metrics["test, state never reset"]["accuracy"]
    assert figures["test never reset/accuracy"] == never
    assert all(re.fullmatch(r"[\w ./-]+", name) for name in figures)
    assert files == [
        "config.toml",
        "metrics.json",
        "history.csv",
        "best.pt",
        "confusion.png",
        "curves.png",
    ]


def test_a_fit_is_tracked(diary: Callable[[], list[list[Any]]]) -> None:
    small(X, Y, epochs=3, trackers=["diary"])
    assert words(diary()) == WHOLE


@pytest.mark.parametrize("place", ["parameters", '"epoch", 2', "finish", "close"])
def test_a_tracker_that_fails_is_told_in_one_line_and_the_training_goes_on(
    config: Config,
    diary: Callable[[], list[list[Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    place: str,
) -> None:
    monkeypatch.setenv("DIARY_FAULT", place)
    tracked = train(config, tmp_path / "tracked", trackers=["diary"])
    lines = capfd.readouterr().err.splitlines()
    said = [line for line in lines if line.startswith("tracker ")]
    assert said == ["tracker diary: no\\nink; the training goes on without it"]
    alone = train(config, tmp_path / "alone", quiet=True)
    for name, array in alone.weights.items():
        assert (array == tracked.weights[name]).all()
    assert tracked.metrics["test"] == alone.metrics["test"]
    # It isn't asked again, but for its end.
    told = words(diary())
    first = next(k for k, w in enumerate(told) if place.replace('"', "").replace(",", "") in w)
    assert told[first + 1 :] == ["close failed"]


def test_one_that_can_not_be_opened_is_refused_before_anything_is_written(
    config: Config,
    diary: Callable[[], list[list[Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIARY_FAULT", "open")
    with pytest.raises(TrainingError, match=r"tracker diary: no\\nink; mend it, or train without"):
        train(config, tmp_path / "run", quiet=True, trackers=["diary"])
    assert words(diary()) == ["open"]
    assert not (tmp_path / "run" / checkpoint.CONFIG).exists()


def test_a_resumed_training_goes_on_in_the_same_run_of_the_tool(
    config: Config,
    diary: Callable[[], list[list[Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIARY_FAULT", '"epoch", 2')
    monkeypatch.setenv("stop", "1")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", quiet=True, trackers=["diary"])
    assert words(diary()) == ["open", "parameters", "epoch 1", "epoch 2", "close stopped"]
    monkeypatch.delenv("DIARY_FAULT")
    train(config, tmp_path / "run", quiet=True, resume=True, trackers=["diary"])
    told = diary()[5:]
    assert told[0] == ["open", "run", "page 1"]
    again = words(told)
    assert again[0] == "open"
    assert again[-3:] == ["epoch 3", "finish", "close finished"]
    assert "parameters" not in again
    before = len(diary())
    train(config, tmp_path / "run", quiet=True, resume=True, trackers=["diary"])
    assert len(diary()) == before  # there is nothing to resume


@pytest.mark.usefixtures("diary")
def test_a_wrong_or_missing_tracker_is_an_error_before_any_work(
    config: Config,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigError, match=r"unknown tracker 'mlflw'; did you mean 'mlflow'\?"):
        train(config, tmp_path / "run", trackers=["mlflw"])
    lacks = r"tracker lacks: no_such_package_here is not installed; run: pip install .*\[lacks\]"
    with pytest.raises(ConfigError, match=lacks):
        train(config, tmp_path / "run", trackers=["lacks"])
    asked = ("train", tmp_path / "config.toml", "-o", tmp_path / "run", "--tracker")
    code, _, err = here(capfd, *asked, "lacks")
    assert code == 2
    assert err.count("\n") == 1
    assert re.search(lacks, err)
    code, _, err = here(capfd, *asked, "diary", "--folds", "3")
    assert code == 2
    assert "--tracker follows one run" in err
    assert not (tmp_path / "run").exists()
    assert {"diary", "lacks", "mlflow", "wandb"} <= {*TRACKERS.names()}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the tool's own libraries
def test_mlflow_has_the_run_in_its_database(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_of = pytest.importorskip("mlflow").MlflowClient
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "motions")
    monkeypatch.chdir(tmp_path)
    run = train(config, tmp_path / "run", quiet=True, trackers=["mlflow"])
    client = client_of(store)
    experiment = client.get_experiment_by_name("motions")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["train.epochs"] == "3"
    assert found.data.metrics["test/accuracy"] == run.metrics["test"]["accuracy"]
    kept = client.get_metric_history(found.info.run_id, "loss/val")
    assert [(m.step, m.value) for m in kept] == [(r["epoch"], r["val_loss"]) for r in run.history]
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert {"best.pt", "metrics.json", "confusion.png"} <= files
    # Without its last files the run is resumed, in the same run of MLflow.
    (tmp_path / "run" / checkpoint.METRICS).unlink()
    train(config, tmp_path / "run", quiet=True, resume=True, trackers=["mlflow"])
    (again,) = client.search_runs([experiment.experiment_id])
    assert (again.info.run_id, again.info.status) == (found.info.run_id, "FINISHED")


def records(log: bytes) -> Iterator[bytes]:
    """Of W&B's file: a header of 7 bytes, then blocks of 32 KiB in LevelDB's log format.

    A piece has a CRC of 4 bytes, a length of 2, and a kind: whole, first, middle or last.
    """
    whole, first, _, last = 1, 2, 3, 4
    place = 7
    parts: list[bytes] = []
    while place + 7 <= len(log):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", log, place + 4)
        parts = [] if kind in (whole, first) else parts
        parts.append(log[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (whole, last):
            yield b"".join(parts)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_wandb_has_the_run_in_its_files(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    run = train(config, tmp_path / "run", quiet=True, trackers=["wandb"])
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    losses = []
    summary: dict[str, Any] = {}
    codes = []
    for data in records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        row = {
            i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item
        }
        if "loss/val" in row:
            losses.append((row["epoch"], row["loss/val"]))
        for item in record.summary.update:
            summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        if record.HasField("exit"):
            codes.append(record.exit.exit_code)
    assert losses == [(row["epoch"], row["val_loss"]) for row in run.history]
    assert summary["test/accuracy"] == run.metrics["test"]["accuracy"]
    assert codes == [0]
    names = {path.name for path in (file.parent / "files").iterdir()}
    assert {"best.pt", "metrics.json", "confusion.png"} <= names
    key = json.loads((tmp_path / "run" / "trackers.json").read_text())["wandb"]
    assert file.name == f"run-{key}.wandb"
