"""A model with transforms, a calendar and a dropped target, from the data to the command line."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Run, load_config, train
from edge_lstm.results.answers import answers
from edge_lstm_export import export_run
from edge_lstm_export.insight import inspect_run
from edge_lstm_export.insight.recording import read_recording
from edge_lstm_runtime import check_backend, load
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.bundle import Bundle

CONFIG = """
[data]
source = "csv"
path = "rides.csv"
channels = ["rides", "warmth"]
time = "when"
dt = true
missing = "MISSING"
drop = ["rides"]
window = 60
season = 24

[[data.transforms]]
type = "log"
channels = ["rides"]

[[data.transforms]]
type = "clip"

[[data.transforms]]
type = "difference"
lag = [1, 24]

[[data.transforms]]
type = "distance"
steps = 24

[[data.transforms]]
type = "distance"
channels = ["warmth"]
seconds = 7200

[data.calendar]
zone = "Europe/Berlin"
holidays = "DE"
ahead = [0, 3600]

[data.split]
by = "time"

[model]
task = "forecast"
targets = ["rides"]
horizon = 2
hidden_size = 8
residual = true

[augment]
noise = 0.05
offset = 0.0
mask_steps = 0.05
mask_channels = 0.3

[train]
epochs = 2
learning_rate = 0.01
"""


@pytest.fixture(scope="module", params=["ffill", "mask"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rides")
    rng = np.random.default_rng(0)
    start = datetime.datetime(2023, 2, 20)
    rows = []
    for k in range(1200):
        when = start + datetime.timedelta(hours=k, minutes=int(rng.integers(20)))
        rides = round(np.exp(3 + np.sin(2 * np.pi * k / 24) + 0.2 * rng.normal()))
        warmth = 10 + 5 * np.sin(2 * np.pi * k / 24) + rng.normal()
        rows.append(f"{when},{'' if k % 97 == 50 else rides},{warmth:.3f}")
    (folder / "rides.csv").write_text("when,rides,warmth\n" + "\n".join(rows) + "\n")
    (folder / "config.toml").write_text(CONFIG.replace("MISSING", request.param))
    return train(load_config(folder / "config.toml"), folder / "run", quiet=True)


@pytest.fixture(scope="module")
def bundle(run: Run) -> Bundle:
    return load(export_run(run, run.path / "rides.edge", schemes=()).out).bundle


def test_every_cpu_backend_is_within_its_tolerance(bundle: Bundle, run: Run) -> None:
    assert bundle.spec == run.spec
    assert not bundle.left_out
    for backend in ("reference", "numpy", "native", "native-int8", "onnx"):
        result = check_backend(bundle, backend)
        assert result.passed, result


def test_the_command_line_gives_the_trainers_answers(
    run: Run, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(bundle.members)
    right = answers(run.model, run.splits.train[:1])[0][:300]
    text = (run.path.parent / "rides.csv").read_text().splitlines()[:301]
    (tmp_path / "in.csv").write_text("\n".join(text) + "\n")
    lines = []
    for line in text[1:]:
        when, rides, warmth = line.split(",")
        given = float(rides) if rides else None
        lines.append(json.dumps({"when": when, "rides": given, "warmth": float(warmth)}))
    (tmp_path / "in.json").write_text("\n".join(lines) + "\n")
    for file in ("in.csv", "in.json"):
        for backend in ("numpy", "native", "onnx"):
            asked = ["run", str(run.path / "rides.edge"), "--input", str(tmp_path / file)]
            assert main([*asked, "--backend", backend]) == 0
            told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            found = np.array([line["forecast"]["rides"] for line in told])
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-3)


def test_info_says_what_becomes_of_the_channels(
    run: Run, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(bundle.members)
    assert main(["info", str(run.path / "rides.edge")]) == 0
    told = capsys.readouterr().out
    for words in (
        "time      when is a datetime, or the seconds since 1970 (UTC)",
        "transform rides becomes log(1 + rides / ",
        "transform rides, warmth: the difference from the sample before",
        "transform rides, warmth: the difference from 24 samples before",
        "transform rides, warmth: the distance from the mean of the last 24 samples",
        "transform warmth: the distance from the running mean over 7200 s (by dt)",
        "transform when: hour, weekday, yearday, holiday in local time (",
        "dropped   rides, when (no features themselves)",
    ):
        assert words in told


def test_insight_looks_into_it(run: Run) -> None:
    inside = inspect_run(run)
    assert inside.channels is not None
    assert set(inside.channels.occluded) == {"rides", "warmth", "when", "dt"}
    assert all(
        np.isfinite(list(found.values())).all() for found in inside.channels.occluded.values()
    )
    csv = run.path.parent / "rides.csv"
    np.testing.assert_array_equal(read_recording(run, csv).x[:100], run.splits.train[0].x[:100])
