"""`dt`, the channel made of the times: with it, a net forecasts irregular samples better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Config, load_config, load_data, load_run, train
from edge_lstm.data.load import make_spec
from edge_lstm.data.windows import examples
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.inputs.channels import Channels

Configure = Callable[..., Config]

TIMED = """
[data]
source = "csv"
path = "data.csv"
time = "when"
dt = true
channels = ["value"]
window = 48
stride = 24

[data.split]
by = "time"
val = 0.2
test = 0.3

[model]
task = "forecast"
horizon = 1
hidden_size = 12

[train]
epochs = 25
batch_size = 16
learning_rate = 0.02
accelerator = "cpu"
"""
WHEN = [
    "2024-01-01 00:00",
    "2024-01-01 00:05",
    "2024-01-01 00:05",
    "2024-01-01 00:15",
    "2024-01-02 00:15",
]
WITHOUT = ("dt = true\n", "")


def write(
    folder: Path, when: list[object], values: list[float], header: str = "when,value"
) -> None:
    (folder / "data.csv").write_text(
        f"{header}\n" + "".join(f"{w},{v}\n" for w, v in zip(when, values, strict=True))
    )


def test_the_channel_is_the_seconds_since_the_row_before(
    tmp_path: Path, configure: Configure
) -> None:
    write(
        tmp_path,
        [*WHEN, *(f"2024-01-03 00:{5 * k:02d}" for k in range(10))],
        [float(k % 4) for k in range(15)],
    )
    config = configure(
        TIMED,
        ("window = 48\nstride = 24\n", ""),
        data__dt="gap",
        data__split__val=0.2,
        data__split__test=0.2,
    )
    splits = load_data(config)
    assert splits.channels == ("value", "gap")
    expected = np.array([0, 300, 0, 600, 86400, 85500, 300, 300, 300], float)
    np.testing.assert_array_equal(splits.train[0].x[:, 1], expected)
    spec = make_spec(config, splits)
    assert isinstance(spec.inputs, Channels)
    unit = np.median(expected[expected > 0])
    assert (spec.inputs.dt, spec.inputs.time, spec.inputs.dt_unit) == ("gap", "when", unit)
    assert spec.answer.targets == ("value",)  # what is not told is not the time either
    logarithms = np.log(1 + expected / unit)
    assert spec.inputs.mean[1] == pytest.approx(logarithms.mean())
    assert spec.inputs.std[1] == pytest.approx(logarithms.std())
    x = examples(spec, splits.train).x[0, :, 1]
    np.testing.assert_allclose(x, (logarithms - logarithms.mean()) / logarithms.std(), rtol=1e-6)


def test_duplicates_and_clocks_set_back(tmp_path: Path, configure: Configure) -> None:
    number = [0, 5, 5, 4, 10, *range(11, 26)]
    write(tmp_path, list(number), [0.0] * len(number))
    whole = ("window = 48\nstride = 24\n", "")
    with pytest.raises(DataError, match="row 4: 4 comes after 5"):
        load_data(configure(TIMED, whole))
    kept = load_data(configure(TIMED, whole, data__time_back="keep")).train[0]
    assert kept.x[:6, 1].tolist() == [0, 5, 0, 0, 6, 1]
    with pytest.raises(DataError, match="row 3: 5 comes after 5"):
        load_data(configure(TIMED, whole, WITHOUT))


def test_the_pieces_of_a_recording_keep_their_first_gap_and_groups_begin_at_zero(
    tmp_path: Path, configure: Configure
) -> None:
    rows = [(f"u{k % 2}", 7 * k) for k in range(40)]
    (tmp_path / "data.csv").write_text(
        "unit,when,value\n" + "".join(f"{u},{w},1\n" for u, w in rows)
    )
    config = configure(
        TIMED,
        ("window = 48\nstride = 24\n", ""),
        ('time = "when"', 'time = "when"\ngroup = "unit"'),
    )
    splits = load_data(config)
    for sequence in splits.train:
        assert sequence.x[:2, 1].tolist() == [0, 14]
    for sequence in (*splits.val, *splits.test):
        assert sequence.x[0, 1] == 14


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        ((('time = "when"\n', ""),), "time: .*from which `dt` is made"),
        (
            (("dt = true", 'dt = "value"'),),
            "dt = .*expected a new name, and 'value' is in `channels` or `time`",
        ),
        ((("dt = true", 'dt = "when"'),), "dt = .*expected a new name"),
        (
            (('channels = ["value"]', 'channels = ["value", "when"]'),),
            "channels = .*expected no 'when'",
        ),
        ((("dt = true", "dt = 3"),), "dt = 3"),
        ((("horizon = 1", 'horizon = 1\ntargets = ["dt"]'),), "targets = .*'dt' is not"),
    ],
)
def test_contradictions(
    configure: Configure, replacements: tuple[tuple[str, str], ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(TIMED, *replacements)


def test_a_run_keeps_it(tmp_path: Path, configure: Configure) -> None:
    oscillation(tmp_path, seed=0, rows=300)
    run = train(configure(TIMED, train__epochs=1), tmp_path / "run", quiet=True)
    assert load_run(tmp_path / "run").spec.inputs.elapsed == "dt"
    assert load_config(tmp_path / "run" / "config.toml").data.dt is True
    assert run.spec.input_size == 2


def oscillation(folder: Path, seed: int, rows: int = 3000) -> None:
    """A machine that is on for 8 minutes and off for 8, looked at every minute, with noise.

    30 % of the rows are dropped. How many rows are left of a half period says little. How much time
    has passed says all but when the next row comes.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    value = (t % 16 < 8) + 0.05 * rng.normal(size=rows)
    kept = rng.random(rows) >= 0.3
    write(folder, [60 * k for k in t[kept].tolist()], value[kept].tolist())


@pytest.mark.slow
def test_irregular_samples_are_forecast_better_with_their_times(
    tmp_path: Path, configure: Configure
) -> None:
    found = []
    for seed in range(3):
        oscillation(tmp_path, seed)
        with_dt = train(configure(TIMED, train__seed=seed), tmp_path / f"with{seed}", quiet=True)
        without = train(
            configure(TIMED, WITHOUT, train__seed=seed), tmp_path / f"without{seed}", quiet=True
        )
        found.append((with_dt.metrics["test"]["rmse"], without.metrics["test"]["rmse"]))
    assert all(better < 0.95 * worse for better, worse in found), found
