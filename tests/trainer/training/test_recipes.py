"""The recipes, as a user runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_lstm import load_config, train
from edge_lstm.cli.train import closing
from edge_lstm_runtime import Session
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.feeds.sound import read_wav
from helpers.paths import ROOT
from helpers.tolerances import assert_close

FOLDERS = [
    Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p
]
DATA = next((folder for folder in FOLDERS if (folder / "nab").is_dir()), None)


@pytest.mark.slow
def test_basic_motions(tmp_path: Path) -> None:
    accuracies = []
    for seed in range(3):
        run = train(
            load_config("recipe:activity", {"train.seed": seed}), tmp_path / str(seed), quiet=True
        )
        accuracies.append(run.metrics["test"]["accuracy"])
    assert sum(accuracies) / 3 >= 0.98, accuracies


@pytest.mark.skipif(
    DATA is None,
    reason="the machine temperature file is not here: set EDGE_LSTM_DATA to the folder that holds "
    "nab/",
)
def test_machine_temperature_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LSTM_DATA", str(DATA))
    run = train(
        load_config("recipe:temperature", {"train.epochs": 2}), tmp_path / "run", quiet=True
    )
    assert [len(part[0].x) for part in (run.splits.train, run.splits.val, run.splits.test)] == [
        15887,
        3404,
        3404,
    ]
    test = run.metrics["test"]
    assert set(test["baselines"]) == {"naive", "seasonal"}
    # The last value, over the steps with a day before and an hour after, from the file by a plain
    # loop.
    x = run.splits.test[0].x[:, 0]
    errors = [abs(x[t + k] - x[t]) for t in range(288, len(x) - 12) for k in range(1, 13)]
    assert test["baselines"]["naive"]["mae"] == pytest.approx(sum(errors) / len(errors))
    assert test["beats_seasonal"] is True
    assert "naive forecast (last value)" in test["verdict"]
    assert (run.path / "forecast.png").exists()


@pytest.mark.slow
def test_speakers(tmp_path: Path) -> None:
    run = train(load_config("recipe:speakers"), tmp_path / "run", quiet=True)
    assert [len(part) for part in (run.splits.train + run.splits.val, run.splits.test)] == [
        270,
        370,
    ]
    # DTW's. docs/recipes.md has ours over three seeds.
    assert run.metrics["test"]["accuracy"] > 0.949


@pytest.mark.slow
@pytest.mark.skipif(
    DATA is None or not (DATA / "cmapss").is_dir(),
    reason="set EDGE_LSTM_DATA to the folder that holds cmapss/",
)
def test_turbofan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LSTM_DATA", str(DATA))
    run = train(load_config("recipe:turbofan"), tmp_path / "run", quiet=True)
    assert sum(len(s.x) for s in run.splits.train + run.splits.val) == 20631
    assert sum(len(s.x) for s in run.splits.test) == 13096
    assert run.metrics["test"]["sequences"] == 100
    # A published deep LSTM's. docs/recipes.md has ours over three seeds.
    assert run.metrics["test"]["rmse_last"] < 16.14


@pytest.mark.slow
@pytest.mark.skipif(
    DATA is None or not (DATA / "fsdd").is_dir(),
    reason="set EDGE_LSTM_DATA to the folder that holds fsdd/",
)
def test_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DATA is not None
    monkeypatch.setenv("EDGE_LSTM_DATA", str(DATA))
    run = train(load_config("recipe:digits"), tmp_path / "run", quiet=True)
    assert [len(part) for part in (run.splits.train, run.splits.val, run.splits.test)] == [
        2430,
        270,
        300,
    ]
    assert run.spec.network.parameters <= 100_000
    assert run.metrics["test"]["accuracy"] >= 0.98  # docs/recipes.md has ours over three seeds
    # From the file to the answer, as a board hears it.
    (sequence,) = [s for s in run.splits.test if s.name == "7_jackson_0"]
    with Session(run.spec, NumpyBackend(run.spec, run.weights)) as session:
        expected = session.run(sequence.x)
        session.reset()
        heard = session.listen(read_wav(DATA / "fsdd" / "recordings" / "7_jackson_0.wav", 8000))
    assert_close(heard, expected, "float32", "y")


@pytest.mark.slow
@pytest.mark.skipif(
    DATA is None or not (DATA / "text").is_dir(),
    reason="set EDGE_LSTM_DATA to the folder that holds text/",
)
def test_timemachine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LSTM_DATA", str(DATA))
    run = train(
        load_config("recipe:timemachine", {"train.epochs": 3}), tmp_path / "run", quiet=True
    )
    assert [len(part[0].x) for part in (run.splits.train, run.splits.val, run.splits.test)] == [
        156086,
        8671,
        8671,
    ]
    assert len(run.spec.answer.classes) == 28
    # A bigram's is 3.3. docs/recipes.md has ours after all epochs.
    assert run.metrics["test"]["bits_per_character"] < 2.8


@pytest.mark.slow
@pytest.mark.skipif(
    DATA is None,
    reason="the machine temperature file is not here: set EDGE_LSTM_DATA to the folder that holds "
    "nab/",
)
@pytest.mark.parametrize(
    ("file", "windows"),
    [
        ("machine_temperature_system_failure", 4),
        ("ambient_temperature_system_failure", 3),
        ("nyc_taxi", 5),
    ],
)
def test_anomaly(file: str, windows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LSTM_DATA", str(DATA))
    changes = {"train.epochs": 2, "data.path": f"nab/realKnownCause/{file}.csv"}
    run = train(load_config("recipe:anomaly", changes), tmp_path / "run", quiet=True)
    found = {part: run.metrics[part]["anomaly"] for part in ("train", "val", "test")}
    # of ambient's two, the border of the splits cuts one
    assert sum(part["windows"] for part in found.values()) == windows
    # At most the share that was asked for, and no more than a step below it.
    normal = sum(int((~s.anomalous).sum()) for s in run.splits.train if s.anomalous is not None)
    assert 0.001 - 2 / normal <= found["train"]["flagged"] <= 0.001


@pytest.mark.skipif(
    DATA is None or not (DATA / "occupancy").is_dir(),
    reason="set EDGE_LSTM_DATA to the folder that holds occupancy/",
)
def test_occupancy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LSTM_DATA", str(DATA))
    run = train(load_config("recipe:occupancy"), tmp_path / "run", quiet=True)
    assert [len(part[0].x) for part in (run.splits.train, run.splits.val)] == [5700, 2443]
    first, second = run.metrics["test"]["per_recording"]
    assert (first["name"], first["steps"]) == ("datatest", 2665)
    assert (second["name"], second["steps"]) == ("datatest2", 9752)
    assert first["accuracy"] >= 0.97
    assert second["accuracy"] >= 0.98
    # The light against the limit, from the files by a plain loop.
    threshold = run.metrics["test"]["baselines"]["threshold"]
    assert threshold["words"] == "a threshold on Light alone (371.1)"
    for found in threshold["per_recording"]:
        right = rows = 0
        for line in (DATA / "occupancy" / f"{found['name']}.txt").read_text().splitlines()[1:]:
            *_, light, _, _, occupied = line.replace('"', "").split(",")
            right += (float(light) > 371.1) == (occupied == "1")
            rows += 1
        assert found["accuracy"] == pytest.approx(right / rows, abs=1e-12)
    assert any(
        line.startswith("Recording datatest: ") and line.endswith("(371.1) wins.")
        for line in closing(run).splitlines()
    )
