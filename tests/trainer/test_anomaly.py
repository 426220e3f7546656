"""Task "anomaly": threshold, measures by window, the windows' file, training to command."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm import Config, Sequence, load_config, load_data, train
from edge_lstm.compare import compare
from edge_lstm.data.load import make_spec
from edge_lstm.results import plots
from edge_lstm.results.alarms import (
    fit,
    judge,
    normal_steps,
    robust,
    runs,
    scores,
    sentence,
    threshold,
)
from edge_lstm.results.answers import answers
from edge_lstm.results.run import load_run
from edge_lstm.tasks.anomaly import TASK
from edge_lstm_runtime import AnomalyDetector
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.session import Session

Configure = Callable[..., Config]

ANOMALY = """
[data]
source = "csv"
path = "data/machine.csv"
known_anomalies = "windows.json"
time = "when"
channels = ["value", "other"]
missing = "ffill"
window = 40
stride = 20
season = 12

[data.split]
by = "time"
val = 0.2
test = 0.4

[model]
task = "anomaly"
targets = ["value"]
horizon = 2
hidden_size = 6
false_alarms = 0.02
smoothing = 3

[train]
epochs = 4
batch_size = 4
learning_rate = 0.02
accelerator = "cpu"
"""
ROWS = 1000
STEP = 600  # every ten minutes
WINDOWS = [(150, 180), (700, 730), (900, 930)]  # rows: one in the training split, two in the test


@pytest.fixture
def machine(tmp_path: Path) -> None:
    """A wave of 12 rows, which stands still in each window, and a gap of two rows."""
    rng = np.random.default_rng(3)
    n = np.arange(ROWS)
    value = np.sin(2 * np.pi * n / 12) + 0.05 * rng.normal(size=ROWS)
    for start, end in WINDOWS:
        value[start : end + 1] = 2.5
    when = [
        str(np.datetime64("2024-03-01T00:00:00") + np.timedelta64(STEP * k, "s")).replace("T", " ")
        for k in n.tolist()
    ]
    cells = ["" if k in (50, 51) else f"{v:.5f}" for k, v in enumerate(value)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "machine.csv").write_text(
        "when,value,other\n"
        + "".join(f"{w},{c},{k % 7}\n" for k, (w, c) in enumerate(zip(when, cells, strict=True)))
    )
    windows = {"data/machine.csv": [[when[a] + ".000000", when[b]] for a, b in WINDOWS]}
    (tmp_path / "windows.json").write_text(json.dumps(windows))


# --- the windows ---


@pytest.mark.usefixtures("machine")
def test_windows_mark_the_rows_and_nothing_is_learned_from_them(configure: Configure) -> None:
    config = configure(ANOMALY)
    splits = load_data(config)
    marked = np.concatenate(
        [
            s.anomalous
            for part in (splits.train, splits.val, splits.test)
            for s in part
            if s.anomalous is not None
        ]
    )
    expected = np.zeros(ROWS, bool)
    for start, end in WINDOWS:
        expected[start : end + 1] = True
    np.testing.assert_array_equal(marked, expected)
    (sequence,) = splits.train
    assert sequence.time is not None
    np.testing.assert_array_equal(np.diff(sequence.time), STEP)
    spec = make_spec(config, splits)
    usual = sequence.x[~expected[: len(sequence.x)], 0]
    assert spec.inputs.mean[0] == pytest.approx(np.nanmean(usual), rel=1e-12)
    assert spec.inputs.std[0] == pytest.approx(np.nanstd(usual), rel=1e-12)
    wanted = TASK.outputs(spec, sequence)
    for t in range(len(wanted)):
        for k in range(2):
            unknown = (
                t + 1 + k >= len(wanted)
                or expected[t]
                or expected[t + 1 + k]
                or t + 1 + k in (50, 51)
            )
            assert np.isnan(wanted[t, k]) == unknown, (t, k)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "can't be read as JSON"),
        ("[]", "has no windows for 'data/machine.csv'"),
        ('{"machine.csv": []}', r"has no windows for 'data/machine.csv' \(it has machine.csv\)"),
        ('{"data/machine.csv": [["2024-03-01 00:00:00"]]}', r"expected \[\[start, end\], ...\]"),
        (
            '{"data/machine.csv": [["soon", "2024-03-01 00:00:00"]]}',
            "windows of 'data/machine.csv': time 'time' is 'soon'; expected seconds or a datetime",
        ),
        ('{"data/machine.csv": [["2024-03-02", "2024-03-01"]]}', "ends before it starts"),
    ],
)
def test_a_wrong_file_of_windows_is_named(
    configure: Configure, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "windows.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_data(configure(ANOMALY))


@pytest.mark.usefixtures("machine")
def test_the_fingerprint_notices_other_windows(configure: Configure, tmp_path: Path) -> None:
    before = load_data(configure(ANOMALY)).fingerprint
    (tmp_path / "windows.json").write_text('{"data/machine.csv": []}')
    assert load_data(configure(ANOMALY)).fingerprint != before


def test_numbers_are_times_too(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "machine.csv").write_text(
        "when,value,other\n" + "".join(f"{5 * k},{k % 3},1\n" for k in range(50))
    )
    (tmp_path / "windows.json").write_text('{"data/machine.csv": [[10, 20.0]]}')
    (sequence,) = load_data(configure(ANOMALY)).train
    assert sequence.anomalous is not None
    assert np.flatnonzero(sequence.anomalous).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    "windows", ['["1.2.2024 0:05", "1.2.2024 0:15"]', '["2024-02-01 00:05", "2024-02-01 00:15"]']
)
def test_windows_are_in_the_zone_and_the_format_of_the_data(
    tmp_path: Path, configure: Configure, windows: str
) -> None:
    (tmp_path / "data").mkdir()
    rows = "".join(f"01.02.2024 00:{k:02d},{k % 3},1\n" for k in range(50))
    (tmp_path / "data" / "machine.csv").write_text(f"when,value,other\n{rows}")
    (tmp_path / "windows.json").write_text(f'{{"data/machine.csv": [{windows}]}}')
    (sequence,) = load_data(configure(ANOMALY, data__time_zone="Europe/Berlin")).train
    assert sequence.anomalous is not None
    assert np.flatnonzero(sequence.anomalous).tolist() == list(range(5, 16))


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        (
            (
                ('task = "anomaly"', 'task = "forecast"'),
                ("false_alarms = 0.02\nsmoothing = 3\n", ""),
            ),
            r"known_anomalies .* is for task 'anomaly', and task is 'forecast'; remove it",
        ),
        (
            (('task = "anomaly"', 'task = "forecast"'), ('known_anomalies = "windows.json"\n', "")),
            r"false_alarms .* is for task 'anomaly'",
        ),
        ((('time = "when"\n', ""),), r"time: .*expected the name of the time column"),
        (
            (("known_anomalies =", "windows ="),),
            r"\[data\] windows = \"windows.json\": is called `known_anomalies` now",
        ),
        ((("horizon = 2\n", ""),), r"horizon: is missing; expected the number of steps"),
        ((("false_alarms = 0.02", "false_alarms = 1.5"),), "false_alarms = 1.5"),
        ((("horizon = 2", "horizon = 2\nbidirectional = true"),), "bidirectional"),
    ],
)
def test_contradictions(
    configure: Configure, replacements: tuple[tuple[str, str], ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(ANOMALY, *replacements)


# --- the numbers of the detector ---


@pytest.mark.parametrize("rate", [0.5, 0.013, 0.001, 1e-6])
def test_the_threshold_gives_the_share_that_was_asked_for(rate: float) -> None:
    values = np.random.default_rng(0).exponential(size=997)
    values[::10] = np.nan
    count = int((~np.isnan(values)).sum())
    assert int((values > threshold(values, rate)).sum()) == int(rate * count)


def test_robust_numbers_and_what_stands_in_for_them() -> None:
    values = np.array(
        [
            [1.0, 5.0, 4.0],
            [2.0, 5.0, 4.0],
            [4.0, 5.0, 4.0],
            [100.0, 9.0, 4.0],
            [np.nan, np.nan, np.nan],
        ]
    )
    centre, spread = robust(values, ("a", "b", "c"))
    assert centre.tolist() == [3.0, 5.0, 4.0]
    assert spread.tolist() == [1.4826 * 1.5, np.std([5, 5, 5, 9]), 1.0]
    with pytest.raises(DataError, match="no forecast of 'b'"):
        robust(np.array([[1.0, np.nan]]), ("a", "b"))
    with pytest.raises(DataError, match="no step of the training split has a score"):
        threshold(np.array([np.nan]), 0.1)


@pytest.mark.usefixtures("machine")
def test_fit_against_numpy(configure: Configure) -> None:
    """Centre, scale and the share of false alarms, from arrays of whole recordings.

    The forecasts are random numbers.
    """
    config = configure(ANOMALY)
    splits = load_data(config)
    (sequence,) = splits.train
    y = np.random.default_rng(1).normal(size=(len(sequence.x), 2))
    spec, given = fit(make_spec(config, splits), splits.train, [y], **config.model.alarms)
    x = sequence.x[:, 0]
    usual = normal_steps(sequence)
    errors = np.full((len(x), 2), np.nan)
    errors[1:, 0] = x[1:] - y[:-1, 0]
    errors[2:, 1] = x[2:] - y[:-2, 1]
    centre = np.nanmedian(errors[usual], axis=0)
    scale = 1.4826 * np.nanmedian(np.abs(errors[usual] - centre), axis=0)
    np.testing.assert_allclose(spec.detector.centre, centre, rtol=1e-12)
    np.testing.assert_allclose(spec.detector.scale, scale, rtol=1e-12)
    assert spec.detector.smoothing == 0.5
    (found,) = scores(spec, splits.train, [y])
    np.testing.assert_array_equal(given[0], found)
    scored = usual & ~np.isnan(found)
    assert int((found[scored] > spec.detector.threshold).sum()) == int(0.02 * scored.sum()) > 0


# --- the measures ---


def sequence_of(anomalous: str, step: float = 1800.0) -> Sequence:
    """'.' normal, 'x' in a window, every half hour."""
    marks = np.array([c == "x" for c in anomalous])
    return Sequence(
        "s", "s", np.zeros((len(marks), 1)), None, None, step * np.arange(len(marks)), marks
    )


def test_windows_by_hand() -> None:
    windows = "....xxxx........xxxx........xx.."
    flagged = ".!....!!.!.......... .!...!....!".replace(" ", ".")
    found = judge([sequence_of(windows)], [np.array([c == "!" for c in flagged])])
    # Alarms: row 1, then rows 6 to 9, an hour apart, which touch the first window, then rows 21, 25
    # and 30, more than an hour apart.
    assert found["windows"] == 3
    assert found["detected"] == 1
    assert found["delay_hours"] == 1.0
    assert found["false_alarms"] == flagged.count("!") - 3
    assert found["days"] == pytest.approx((len(windows) - 1 - 10) * 0.5 / 24)
    assert found["false_alarms_per_day"] == pytest.approx(found["false_alarms"] / found["days"])
    assert found["precision"] == pytest.approx(1 / (1 + found["false_alarms"]))
    assert found["recall"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx(2 / (1 / found["precision"] + 1 / found["recall"]))
    assert found["flagged"] == pytest.approx((flagged.count("!") - 2) / (len(windows) - 10))


def test_measures_that_are_undefined_are_none() -> None:
    calm = judge([sequence_of("......")], [np.zeros(6, bool)])
    assert [
        calm[key] for key in ("precision", "recall", "f1", "delay_hours", "false_alarms_per_day")
    ] == [None, None, None, None, 0.0]
    silent = judge([sequence_of("..xx..")], [np.zeros(6, bool)])
    assert (silent["precision"], silent["recall"], silent["f1"]) == (None, 0.0, 0.0)
    unlabelled = judge(
        [Sequence("s", "s", np.zeros((4, 1)))], [np.array([True, False, False, False])]
    )
    assert unlabelled == {"flagged": 0.25}
    assert sentence(unlabelled) == "25 % of the steps flagged"
    assert sentence(silent) == "0 of 1 windows detected; 0 false alarms (0 a day)"
    marked = Sequence("s", "s", np.zeros((2, 1)), anomalous=np.ones(2, bool))  # and no time
    assert sentence(judge([marked], [np.zeros(2, bool)])) == "no step to judge"


def test_a_delay_of_several_windows_is_said_to_be_their_mean() -> None:
    """Rows are half an hour apart: the first window is seen at once, the second after two rows."""
    windows = "..xxx.......xxx."
    flagged = "..!...........!."
    both = judge([sequence_of(windows)], [np.array([c == "!" for c in flagged])])
    assert (
        sentence(both)
        == "2 of 2 windows detected, 0.5 h after their starts on average; 0 false alarms (0 a day)"
    )
    one = judge([sequence_of(windows)], [np.array([c == "!" for c in "...!............"])])
    assert (
        sentence(one) == "1 of 2 windows detected, 0.5 h after its start; 0 false alarms (0 a day)"
    )


def test_runs_are_joined_within_an_hour_and_a_clock_set_back_takes_no_time() -> None:
    flags = np.array([True, False, True, True, False, True])
    assert runs(flags) == [(0, 1), (2, 4), (5, 6)]
    assert runs(flags, 1800 * np.arange(6)) == [(0, 6)]
    assert runs(flags, 1801 * np.arange(6)) == [(0, 1), (2, 4), (5, 6)]
    back = dataclasses.replace(sequence_of("...."), time=np.array([0.0, 86400.0, 43200.0, 86400.0]))
    assert judge([back], [np.zeros(4, bool)])["days"] == 1.5


# --- the whole line ---


@pytest.mark.usefixtures("machine")
def test_train_compare_and_stream(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_lstm.compare.rows.MEASURED", 0.0)
    config = configure(ANOMALY)
    found = compare(config, tmp_path / "out", quiet=True)
    assert [row.name for row in found.rows] == ["lstm", "naive", "seasonal", "raw", "rolling"]
    run = load_run(tmp_path / "out" / "lstm")
    test = run.metrics["test"]["anomaly"]
    assert test["windows"] == 2
    assert test["detected"] == 2  # a wave that stands still
    assert run.metrics["train"]["anomaly"]["windows"] == 1
    assert found.rows[0].metrics == test
    assert "F1 by window" in found.markdown
    for name in (
        "out/anomaly.png",
        "out/compare.png",
        "out/lstm/anomaly.png",
        "out/lstm/forecast.png",
    ):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    # The distance from the median, by itself: 2.5 is far from a wave between -1 and 1.
    raw = next(row for row in found.rows if row.name == "raw")
    splits = run.splits
    usual = splits.train[0].x[normal_steps(splits.train[0]), 0]
    distance = np.abs(usual - np.nanmedian(usual))
    limit = np.sort(distance[~np.isnan(distance)])[::-1][int(0.02 * (~np.isnan(distance)).sum())]
    flags = np.abs(splits.test[0].x[:, 0] - np.nanmedian(usual)) > limit
    assert raw.metrics == judge(splits.test, [flags])
    # As on the board, on NumPy alone.
    expected = scores(run.spec, splits.test, answers(run.model, splits.test))[0]
    detector = AnomalyDetector(run.spec)
    with Session(run.spec, NumpyBackend(run.spec, run.weights)) as session:
        streamed = [detector(x, session.step(x)).score for x in splits.test[0].x]
    np.testing.assert_allclose(streamed, expected, atol=1e-4)
    again = compare(config, tmp_path / "out", resume=True, quiet=True)
    assert again.rows == found.rows


@pytest.mark.usefixtures("machine")
def test_without_windows_everything_is_normal_and_a_finished_run_resumes(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = plots.plot_anomalies

    def watched(sequences: Any, detectors: Any) -> Any:
        drawn.extend(detectors)
        return draw(sequences, detectors)

    monkeypatch.setattr(plots, "plot_anomalies", watched)
    config = configure(
        ANOMALY,
        ('known_anomalies = "windows.json"\n', ""),
        ("[model]", '[model]\ntype = "gru"'),
        train__epochs=1,
    )
    run = train(config, tmp_path / "run", quiet=True)
    assert drawn == [f"gru {config.model.hidden_size}"]
    assert run.metrics["train"]["anomaly"]["flagged"] == pytest.approx(0.02, abs=0.003)
    (tmp_path / "run" / "metrics.json").unlink()
    again = train(config, tmp_path / "run", resume=True, quiet=True)
    assert again.spec == run.spec
    assert again.metrics == run.metrics
    assert load_config(tmp_path / "run" / "config.toml").model == config.model
