"""The period of data that repeats: of series with a known one, of noise, and of public data."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from edge_lstm.data.season import period
from helpers.paths import ROOT

FOLDERS = [
    Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p
]
DATA = next((folder for folder in FOLDERS if (folder / "nab").is_dir()), None)
needs_data = pytest.mark.skipif(DATA is None, reason="set EDGE_LSTM_DATA")


def wave(every: int, steps: int = 4000) -> np.ndarray:
    return np.sin(2 * np.pi * np.arange(steps) / every)


def autoregressive(share: float, steps: int, rng: np.random.Generator) -> np.ndarray:
    x = np.zeros(steps)
    for t, shock in enumerate(rng.normal(size=steps - 1), 1):
        x[t] = share * x[t - 1] + shock
    return x


@pytest.mark.parametrize("every", [4, 7, 10, 24, 50, 96, 144, 288])
@pytest.mark.parametrize("noise", [0.0, 0.3, 0.7])
def test_the_period_of_a_wave_is_found_in_noise_and_over_a_random_walk(
    every: int, noise: float
) -> None:
    rng = np.random.default_rng(every)
    found = period([wave(every) + noise * rng.normal(size=4000)])
    assert found is not None
    assert found.every == pytest.approx(every, abs=every // 200)
    over_a_walk = period([wave(every) + 0.03 * rng.normal(size=4000).cumsum() + noise / 3])
    assert over_a_walk is not None
    assert over_a_walk.every == pytest.approx(every, abs=every // 200)


def test_the_autocorrelation_is_that_of_the_changes_by_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    x = wave(12, 120) + 0.4 * rng.normal(size=120)
    x[[30, 31, 77]] = np.nan
    found = period([x, x[:60]])
    assert found is not None
    assert found.every == 12
    changes = [
        [r[t] - r[t - found.change] for t in range(found.change, len(r))] for r in (x, x[:60])
    ]
    limits = np.nanquantile(np.concatenate(changes), (0.005, 0.995))
    changes = [np.clip(c, *limits) for c in changes]
    mean = np.nanmean(np.concatenate(changes))

    def covariance(lag: int) -> float:
        pairs = [(c[t] - mean) * (c[t + lag] - mean) for c in changes for t in range(len(c) - lag)]
        return float(np.nanmean(pairs))

    assert found.autocorrelation == pytest.approx(covariance(12) / covariance(0))


def test_pulses_repeat_too() -> None:
    x = 0.1 * np.random.default_rng(0).normal(size=2000)
    x[::30] += 5
    found = period([x])
    assert found is not None
    assert found.every == 30


@pytest.mark.parametrize("steps", [60, 300, 3000])
@pytest.mark.parametrize("seed", range(10))
def test_processes_without_a_period_have_none(steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=steps)
    heavy = rng.standard_t(2, size=steps)
    series = [noise, noise.cumsum(), heavy, heavy.cumsum(), np.arange(float(steps))]
    series += [autoregressive(share, steps, rng) for share in (0.5, 0.9, 0.97, 0.99)]
    series += [
        noise.cumsum() + np.cos(2 * np.pi * np.arange(steps) / steps) * steps,
        noise.cumsum().cumsum(),
    ]
    assert [period([x]) for x in series] == [None] * len(series)


def test_nothing_to_look_at_has_no_period() -> None:
    for none in ([], [np.zeros(0)], [np.ones(500)], [np.full(500, np.nan)], [wave(4, 12)]):
        assert period(none) is None


def column(file: str, name: str, **only: str) -> list[np.ndarray]:
    assert DATA is not None
    with (DATA / file).open() as lines:
        rows = [r for r in csv.DictReader(lines) if all(r[k] == v for k, v in only.items())]
    values = [float(r[name]) if r[name] not in ("", "NA") else np.nan for r in rows]
    return [np.array(values[: int(0.7 * len(values))])]


@needs_data
def test_public_data() -> None:
    nab = "nab/realKnownCause"
    airports = [
        column("weather/nyc_weather.csv", "temp", origin=o)[0] for o in ("EWR", "JFK", "LGA")
    ]
    repeats = {
        "bicycles, by the hour": column("bikes/bike.csv", "users"),
        "taxis, by half an hour": column(f"{nab}/nyc_taxi.csv", "value"),
        "rooms, by the hour": column(f"{nab}/ambient_temperature_system_failure.csv", "value"),
        "weather, by the hour": airports,
    }
    found = {name: period(x) for name, x in repeats.items()}
    assert {name: each and each.every for name, each in found.items()} == {
        "bicycles, by the hour": 24,
        "taxis, by half an hour": 48,
        "rooms, by the hour": 24,
        "weather, by the hour": 24,
    }
    machine = column(f"{nab}/machine_temperature_system_failure.csv", "value")
    assert period(machine) is None  # no day is seen in it
    assert period(column("weather/nyc_weather.csv", "pressure", origin="JFK")) is None
