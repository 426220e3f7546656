"""Data that looks wrong is told as a training begins, with the file, the row and the value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_lstm.config.schema import Config
from edge_lstm.data.doubts import Setting, doubts
from edge_lstm.data.load import load_data, make_spec
from edge_lstm.data.recordings import Recording
from edge_lstm.data.robust import centre_and_spread
from edge_lstm.data.steps import duration
from edge_lstm.training.train import train
from helpers.configs import CLASSIFY, FORECAST
from helpers.generated import PROPERTY

Configure = Callable[..., Config]
TAG = FORECAST.replace('task = "forecast"\ntargets = ["b"]\nhorizon = 3', 'task = "tag"').replace(
    'channels = ["a", "b"]', 'channels = ["a", "b"]\nlabel = "state"'
)
REGRESS = FORECAST.replace('task = "forecast"\ntargets = ["b"]\nhorizon = 3', 'task = "regress"')
REGRESS = REGRESS.replace('task = "regress"', 'task = "regress"\ntargets = ["y"]')


def write(folder: Path, header: str, rows: list[list[object]]) -> Path:
    file = folder / "data.csv"
    text = "".join(",".join("" if c is None else str(c) for c in row) + "\n" for row in rows)
    file.write_text(f"{header}\n{text}")
    return file


def usual(rows: int = 300) -> list[list[object]]:
    rng = np.random.default_rng(3)
    values = rng.normal([12.3, 5.0], [1.0, 2.0], (rows, 2)).round(3)
    return values.tolist()


def notes(config: Config) -> tuple[str, ...]:
    return load_data(config).notes


def test_usual_data_needs_no_word(tmp_path: Path, configure: Configure) -> None:
    write(tmp_path, "a,b", usual())
    assert notes(configure(FORECAST)) == ()


def test_one_wild_cell(
    tmp_path: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = usual()
    rows[41][0] = 999999
    file = write(tmp_path, "a,b", rows)
    run = train(configure(FORECAST, train__epochs=1), tmp_path / "run")
    (said,) = run.metrics["data"]
    begin = f"channel 'a': {file} row 42 has 999999, "
    assert said.startswith(begin)
    ratio, rest = said.removeprefix(begin).split(" ", 1)
    # Of a normal distribution with the deviation 1.
    assert 800_000 < int(ratio.replace(",", "")) < 1_250_000
    assert rest.startswith("times the usual spread from the median (12.")
    assert rest.endswith(
        "a sensor's code for \"missing\"? Set missing_values = [999999] with missing = 'ffill', "
        'or normalize = "robust"'
    )
    assert f"note: {said}\n" in capsys.readouterr().err
    settled = configure(FORECAST, data__missing_values=[999999], data__missing="ffill")
    assert notes(settled) == ()


def test_a_code_in_many_rows_of_a_group(tmp_path: Path, configure: Configure) -> None:
    rows = [[*row, f"g{k % 2}"] for k, row in enumerate(usual())]
    for k in range(7, 300, 30):
        rows[k][1] = -200
    file = write(tmp_path, "a,b,g", rows)
    (said,) = notes(configure(FORECAST, data__group="g"))
    assert said.startswith(f"channel 'b': {file} row 8 has -200 (and 9 more so far off), ")


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).exponential(1.0, 2000) ** 3,  # rain: a long tail
        np.random.default_rng(0).random(2000) < 0.01,  # a switch that is seldom on
        np.where(np.random.default_rng(0).random(2000) < 0.02, 0.3, 0.0) * np.arange(2000),
        np.arange(2000) ** 2,
        np.random.default_rng(0).standard_t(3, 2000),
    ],
)
def test_long_tails_and_rare_events_are_no_wild_values(values: np.ndarray) -> None:
    recording = Recording("r", "r", values.astype(float)[:, None])
    assert doubts([recording], [recording], ("a",), Setting()) == []


@settings(PROPERTY)
@given(
    seed=st.integers(0, 10**6),
    row=st.integers(0, 199),
    value=st.sampled_from([-9999.0, 1e6, -1e30, 65535.0]),
    scale=st.floats(1e-3, 1e2),
)
def test_a_wild_value_is_found_wherever_it_is(
    seed: int, row: int, value: float, scale: float
) -> None:
    x = np.random.default_rng(seed).normal(0, scale, (200, 1))
    x[row] = value
    recording = Recording("r", "r", x)
    (said,) = doubts([recording], [recording], ("a",), Setting())
    assert said.startswith(f"channel 'a': r step {row} has {value:.10g}, ")


def test_missing_values_and_constants(tmp_path: Path, configure: Configure) -> None:
    rows: list[list[object]] = [[*row, 5.0] for row in usual()]
    for k in range(60, 180):
        rows[k][0] = None
    file = write(tmp_path, "a,b,c", rows)
    config = configure(FORECAST, data__channels=["a", "b", "c"], data__missing="ffill")
    assert notes(config) == (
        f"channel 'a': 40 % of the values are missing, up to 120 in a row, from {file} row 61 on",
        "channel 'c' (5) is constant in the training split, and can tell nothing; look at the "
        "data, or leave it out of `channels`",
    )


def test_an_answer_that_is_given_away(tmp_path: Path, configure: Configure) -> None:
    rows = [[a, b, 32 + 1.8 * a] for a, b in usual()]
    write(tmp_path, "a,b,y", rows)
    (said,) = notes(configure(REGRESS))
    assert said.startswith("channel 'a' has the same values as the target 'y', but for unit and")
    tagged = [[k // 20 % 3 * 2 - 1, b, "xyz"[k // 20 % 3]] for k, (_, b) in enumerate(usual())]
    write(tmp_path, "a,b,state", tagged)
    (said,) = notes(configure(TAG))
    assert said.startswith("channel 'a' has a value of its own for each class: the label is given")


def test_a_wild_target(tmp_path: Path, configure: Configure) -> None:
    rows = [[a, b, a * b] for a, b in usual()]
    rows[9][2] = 1e9
    file = write(tmp_path, "a,b,y", rows)
    (said,) = notes(configure(REGRESS))
    assert said.startswith(f"target 'y': {file} row 10 has 1000000000, ")


def test_not_more_than_a_few_lines(tmp_path: Path, configure: Configure) -> None:
    names = [f"c{k}" for k in range(9)]
    values = np.random.default_rng(0).normal(size=(200, 9))
    values[7] = 1e7
    write(tmp_path, ",".join(names), values.tolist())
    found = notes(configure(FORECAST, data__channels=names, model__targets=["c0"]))
    assert len(found) == 6
    assert found[-1] == "and 4 more of this kind"


# --- steps of time ---


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.002, "2 ms"),
        (1, "1 s"),
        (300, "5 min"),
        (5400, "1.5 h"),
        (86400, "1 day"),
        (2520000, "29.2 days"),
        (3e8, "3,472 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def timed(folder: Path, seconds: np.ndarray) -> Path:
    rows = [
        [str(np.datetime64("2024-03-01T00:00:00") + np.timedelta64(int(s), "s")), *row]
        for s, row in zip(seconds, usual(len(seconds)), strict=True)
    ]
    return write(folder, "t,a,b", rows)


def test_the_step_in_words(tmp_path: Path, configure: Configure) -> None:
    seconds = np.arange(200) * 300
    seconds[50:] += 900
    seconds[80:] += 6900
    seconds[120:] += 300
    timed(tmp_path, seconds)
    assert notes(configure(FORECAST, data__time="t")) == (
        "time column 't': one row every 5 min, 3 gaps, the longest 2 h",
    )


def test_seven_hundred_missing_hours(tmp_path: Path, configure: Configure) -> None:
    seconds = np.arange(200) * 3600
    seconds[80:] += 700 * 3600
    file = timed(tmp_path, seconds)
    assert notes(configure(FORECAST, data__time="t")) == (
        "time column 't': one row every 1 h, 1 gap of 29.2 days",
        f"{file} row 81: 29.2 days after the row before, 701 usual steps. The model takes it for "
        "one step: cut the file there, or set dt = true in [data]",
    )
    assert len(notes(configure(FORECAST, data__time="t", data__dt=True))) == 1


def test_irregular_steps(tmp_path: Path, configure: Configure) -> None:
    steps = np.tile([10, 100, 1000, 0], 50)
    timed(tmp_path, np.cumsum(steps))
    (said,) = notes(configure(FORECAST, data__time="t", data__dt=True))
    assert said == (
        "time column 't': one row every 1.67 min in the median, from 10 s to 16.7 min, "
        "50 rows with the time of the row before"
    )


# --- robust ---


def test_robust_statistics_of_a_normal_distribution_are_the_standard_ones() -> None:
    x = np.random.default_rng(0).normal(40, 3, 200_000)
    centre, spread = centre_and_spread(x)
    assert abs(centre - 40) < 0.03
    assert abs(spread - 3) < 0.03
    x[:2000] = 1e6
    centre, spread = centre_and_spread(x)
    assert abs(centre - 40) < 0.1
    assert abs(spread - 3) < 0.1


def test_robust_normalization_of_a_wild_cell(tmp_path: Path, configure: Configure) -> None:
    rows: list[list[object]] = [[*row, int(k % 60 == 0), 7.0] for k, row in enumerate(usual())]
    rows[41][0] = 999999
    write(tmp_path, "a,b,switch,same", rows)
    told = {"data__channels": ["a", "b", "switch", "same"]}
    specs = {}
    for kind in ("standard", "robust"):
        config = configure(FORECAST, data__normalize=kind, **told)
        specs[kind] = make_spec(config, load_data(config)).to_dict()
    standard, robust = specs["standard"]["inputs"], specs["robust"]["inputs"]
    assert standard["std"][0] > 50_000
    assert abs(robust["std"][0] - 1) < 0.15
    assert abs(robust["mean"][0] - 12.3) < 0.15
    assert robust["std"][2] > 0.1  # a switch that is seldom on has a spread
    assert robust["std"][3] == 1.0
    for kind in specs.values():
        for part, key in (
            ("inputs", "mean"),
            ("inputs", "std"),
            ("answer", "offset"),
            ("answer", "scale"),
        ):
            kind[part].pop(key)
    assert specs["standard"] == specs["robust"]
    assert configure(FORECAST).data.normalize == "standard"


def test_a_wild_cell_in_the_target_spoils_a_robust_forecast_little(
    tmp_path: Path, configure: Configure
) -> None:
    rng = np.random.default_rng(1)
    wave = np.sin(2 * np.pi * np.arange(600) / 10) + 0.05 * rng.normal(size=600)
    wave[133] = 999999
    write(tmp_path, "a,b", np.stack([rng.normal(size=600), wave], axis=1).tolist())
    config = configure(FORECAST, data__normalize="robust", train__epochs=15)
    run = train(config, tmp_path / "run", quiet=True)
    assert run.metrics["test"]["rmse"] < 0.75  # of a wave with a deviation of 0.71


def test_robust_derived_inputs_and_scales(tmp_path: Path, configure: Configure) -> None:
    rows = usual()
    rows[41][0] = 999999
    write(tmp_path, "a,b", rows)
    text = FORECAST.replace(
        "[data.split]",
        '[[data.transforms]]\ntype = "difference"\nchannels = ["a"]\n\n[data.split]',
    )
    config = configure(text, data__normalize="robust")
    (transform,) = make_spec(config, load_data(config)).inputs.transforms
    assert abs(transform.std[0] - 2**0.5) < 0.3


# --- the range ---


def test_the_range_is_that_of_the_training_split(classify_csv: Path, configure: Configure) -> None:
    config = configure(CLASSIFY)
    splits = load_data(config)
    inputs = make_spec(config, splits).inputs
    x = np.concatenate([s.x for s in splits.train])
    assert inputs.low == tuple(x.min(axis=0).tolist())
    assert inputs.high == tuple(x.max(axis=0).tolist())
    assert classify_csv.exists()


def test_the_range_of_dt_and_of_a_logarithm(tmp_path: Path, configure: Configure) -> None:
    timed(tmp_path, np.cumsum(np.tile([0, 20, 300], 70)))
    text = FORECAST.replace(
        "[data.split]", '[[data.transforms]]\ntype = "log"\nchannels = ["a"]\n\n[data.split]'
    )
    config = configure(text, data__time="t", data__dt=True)
    splits = load_data(config)
    inputs = make_spec(config, splits).inputs
    a = np.concatenate([s.x for s in splits.train])[:, 0]
    assert (inputs.low[0], inputs.high[0]) == (a.min(), a.max())
    assert (inputs.low[2], inputs.high[2]) == (20, 300)
