"""Models with transforms, dropped channels and a calendar, and streams for them."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec, Reference, write_bundle
from edge_lstm_runtime.inputs.channels import Channels, Missing
from edge_lstm_runtime.inputs.transforms import (
    Calendar,
    Clip,
    Difference,
    Distance,
    Log,
    Transform,
)
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.tasks import Answer
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Detector, Forecast
from helpers.specs import chain
from helpers.weights import normal_weights

UTC = datetime.UTC
HOUR = 3600.0
ZONES = (  # hours, half an hour, a day that is left out, no change for long
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kolkata",
)


def seconds(*when: int) -> float:
    """Since 1970, of a date and time in UTC."""
    return datetime.datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


def day_number(date: datetime.date) -> int:
    return (date - datetime.date(1970, 1, 1)).days


def zone_rows(name: str, first: int, last: int) -> tuple[tuple[int, int], ...]:
    """[second, offset] of a zone from the year `first` to the year `last`, by search."""
    zone = ZoneInfo(name)

    def offset(second: int) -> int:
        found = datetime.datetime.fromtimestamp(second, zone).utcoffset()
        assert found is not None
        return int(found.total_seconds())

    days = range(int(seconds(first, 1, 1)), int(seconds(last, 12, 31)), 86400)
    rows = [(days[0], offset(days[0]))]
    for day in days:
        low, high = day, day + 86400
        if offset(high) == rows[-1][1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == rows[-1][1] else (low, middle)
        rows.append((high, offset(high)))
    return tuple(rows)


def write_derived(path: Path, spec: ModelSpec, x: NDArray[np.float64]) -> Path:
    """A bundle with random weights. x: (steps, C) raw units, its golden samples."""
    weights = normal_weights(spec)
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def derived_bundle(path: Path) -> Path:
    """An anomaly detector on hourly counts and a pressure, with one transform of each kind.

    A target is on a logarithmic scale. The samples have gaps, and the 200 that a self-test takes
    go over a leap day and a change of the clock in New York.
    """
    rng = np.random.default_rng(12)
    holidays = (datetime.date(2024, 2, 29), datetime.date(2024, 3, 5))
    transforms = (
        Difference(("count", "pressure"), (0.0, 1.0), (1.0, 100.0), lag=24),
        Clip(("pressure", "count"), (101150.0, 0.5), (101500.0, 3.0)),
        Calendar(
            "when",
            ("yearday", "holiday", "hour", "weekday"),
            (0, 5400),
            zone_rows("America/New_York", 2024, 2024),
            tuple(map(day_number, holidays)),
        ),
        Log(("count",), (40.0,)),
        Distance(("pressure", "count"), (0.0, 0.1), (100.0, 1.0), steps=168),
        Distance(("count",), (0.0,), (1.0,), seconds=20 * HOUR, clock="when"),
    )
    start = seconds(2024, 2, 26)
    inputs = Channels(
        ("pressure", "when", "count"),
        (101325.0, start, 1.2),
        (130.5, 1e6, 0.9),
        missing="ffill",
        transforms=transforms,
        drop=("when", "pressure"),
    )
    detector = Detector((1.0, -2.0) * 3, (60.0, 130.0) * 3, threshold=1.0, smoothing=0.5)
    answer = Forecast(
        ("count", "pressure"), 3, (0.1, 0.0) * 3, (0.5, 130.5) * 3, True, detector=detector
    )
    spec = ModelSpec(inputs, chain(inputs.feature_size, 9, 1, 6), answer)
    x = np.stack(
        [
            rng.normal(101325, 130, 1000),
            start + HOUR * np.arange(1000),
            np.floor(rng.exponential(80, 1000)),
        ],
        axis=1,
    )
    x[:, ::2][rng.random((1000, 2)) < 0.1] = np.nan
    return write_derived(path, spec, x)


@dataclasses.dataclass(frozen=True)
class Stream:
    """spec: of a model that derives features. x: (steps, C) raw units, a stream for it."""

    spec: ModelSpec
    x: NDArray[np.float64]


def generated(seed: int, steps: int) -> Stream:
    """Transforms of every kind in any number and order, with gaps, large offsets, and times over
    changes of the clock and leap days."""
    rng = np.random.default_rng(seed)
    missing: Missing = ("refuse", "ffill", "mask")[seed % 3]
    raw = {
        "pressure": rng.normal(101325, 130, steps),
        "count": np.floor(rng.exponential(50, steps)),
        "flow": rng.lognormal(-8, 1, steps),
        "level": np.cumsum(rng.normal(0, 0.1, steps)) + 273.15,
    }
    names = list(rng.permutation(list(raw))[: rng.integers(2, 5)])
    timed = seed % 4 != 3
    elapsed = seed % 4 > 1
    gaps = rng.choice([HOUR, HOUR, HOUR, 60.0, 0.0, 7 * HOUR], steps)
    if timed:
        raw["when"] = seconds(2023, 9, 1) + np.cumsum(gaps)
        raw["when"][steps // 2 :] += 86400 * 365 * rng.integers(-60, 60)
        raw["when"][rng.integers(0, steps, 5)] -= 1e4  # a clock that goes back
        raw["when"] += rng.choice([0.0, 0.5])
    if elapsed:
        raw["dt"] = gaps
    channels = tuple(map(str, rng.permutation([*names, *(k for k in raw if k in ("when", "dt"))])))
    units = {c: float(np.median(raw[c][raw[c] > 0])) for c in ("count", "flow") if c in names}
    units = {c: unit for c, unit in units.items() if rng.random() < 0.7}
    scales = units | ({"dt": 3600.0} if elapsed else {})
    on_scale = {c: np.log1p(raw[c] / scales[c]) if c in scales else raw[c] for c in channels}
    std = {c: max(float(v.std()), 1e-9) for c, v in on_scale.items()}
    transforms = _transforms(rng, names, on_scale, std, units)
    transforms += _timed(rng, names, std, clock="when" if timed else "dt" if elapsed else "")
    order = rng.permutation(len(transforms))
    dropped = [c for c in names if rng.random() < 0.3][: len(names) - 1]
    inputs = Channels(
        channels,
        tuple(float(on_scale[c].mean()) for c in channels),
        tuple(std[c] for c in channels),
        missing,
        dt="dt" if elapsed else "",
        dt_unit=3600.0,
        transforms=tuple(transforms[k] for k in order),
        drop=(*dropped, "when") if timed else tuple(dropped),
    )
    x = np.stack([raw[c] for c in channels], axis=1)
    if missing != "refuse":
        gone = rng.random(x.shape) < 0.1
        gone[:, [k for k, c in enumerate(channels) if c == "when"]] = False
        x[gone] = np.nan
    return Stream(_model(rng, inputs, tuple(names), std), x)


def _transforms(
    rng: np.random.Generator,
    names: list[str],
    on_scale: dict[str, NDArray[np.float64]],
    std: dict[str, float],
    units: dict[str, float],
) -> list[Transform]:
    some = _some(rng, names)
    deviations = tuple(std[c] for c in some)
    zeros = (0.0,) * len(some)
    found: list[Transform] = [
        Difference(some, zeros, deviations, lag=int(rng.choice([1, 24, 700]))),
        Difference(some, deviations, deviations, lag=3),
        Distance(some, zeros, deviations, steps=int(rng.choice([1, 2, 168, 700]))),
        Distance(some, zeros, deviations, steps=24),
    ]
    if units:
        found.append(Log(tuple(units), tuple(units.values())))
    limits = tuple(tuple(map(float, np.quantile(on_scale[c], [0.05, 0.9]))) for c in some)
    found.append(Clip(some, tuple(low for low, _ in limits), tuple(high for _, high in limits)))
    return found


def _timed(
    rng: np.random.Generator, names: list[str], std: dict[str, float], clock: str
) -> list[Transform]:
    if not clock:
        return []
    some = _some(rng, names)
    deviations = tuple(std[c] for c in some)
    found: list[Transform] = [
        Distance(some, deviations, deviations, seconds=span, clock=clock)
        for span in (600.0, float(rng.choice([86400.0, 1e7])))
    ]
    if clock != "when":
        return found
    parts = ("hour", "weekday", "yearday", "holiday")
    for zone in (zone_rows(str(rng.choice(ZONES)), 2022, 2025), ()):
        chosen = rng.permutation(parts)[: rng.integers(1, 5)]
        days = tuple(range(19600, 20000, int(rng.integers(2, 30))))
        ahead = (0, *map(float, rng.normal(0, 1e5, rng.integers(0, 3))))
        found.append(Calendar("when", tuple(map(str, chosen)), ahead, zone, days))
    return found


def _some(rng: np.random.Generator, names: list[str]) -> tuple[str, ...]:
    return tuple(map(str, rng.permutation(names)[: rng.integers(1, len(names) + 1)]))


def _model(
    rng: np.random.Generator, inputs: Channels, names: tuple[str, ...], std: dict[str, float]
) -> ModelSpec:
    answer: Answer = Classify(("yes", "no", "other"))
    if rng.random() < 0.7:
        targets = tuple(map(str, names[:2]))
        scale = tuple(0.3 * std[c] for c in targets) * 2
        answer = Forecast(targets, 2, (0.0,) * len(scale), scale, bool(rng.random() < 0.5))
    return ModelSpec(inputs, chain(inputs.feature_size, 7, 1, answer.size), answer)
