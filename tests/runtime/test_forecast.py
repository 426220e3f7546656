"""Forecasts of listed steps ahead, quantiles and bounds, against plain loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import cli
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.tasks.forecast import Detector, Forecast
from helpers.arrays import Array
from helpers.bundles import make_bundle
from helpers.specs import changed, make_spec

STEPS = (1, 6, 24)
LEVELS = (0.05, 0.5, 0.9)
WIDTH = {0.05: 1.5, 0.5: 1.0, 0.9: 0.75}


def quantile_spec(**changes: Any) -> rt.ModelSpec:
    """Three steps ahead of two targets, three quantiles each. `low` is of the first alone."""
    size = len(STEPS) * 2 * len(LEVELS)
    rng = np.random.default_rng(3)
    values: dict[str, Any] = {
        "horizon": STEPS,
        "quantiles": LEVELS,
        "offset": tuple(np.repeat(rng.normal(size=6), 3).tolist()),
        "scale": tuple(np.repeat(rng.uniform(1, 9, size=6), 3).tolist()),
        "widths": tuple(WIDTH.values()) * 6,
        "low": (-1.0, None),
        "high": (2.0, 3.0),
    }
    spec = make_spec(task="forecast", channels=3, outputs=3, missing="ffill", residual=True)
    found = changed(spec, **{**values, **changes})
    assert found.output_size == size
    return found


def plain(spec: rt.ModelSpec, outputs: Array, last: Array) -> Array:
    """(O,) as docs/bundle.md defines it, number by number."""
    answer = spec.answer
    found = []
    place = 0
    for _ in STEPS:
        for j, target in enumerate(answer.targets):
            median = float(outputs[place + 1])
            made = []
            for q in LEVELS:
                y = median + WIDTH[q] * (float(outputs[place]) - median)
                y = y * answer.scale[place] + answer.offset[place]
                made.append(y + float(last[spec.inputs.names.index(target)]))
                place += 1
            for y in sorted(made):
                low = answer.low[j] if answer.low else None
                high = answer.high[j] if answer.high else None
                bounded = y if low is None else max(y, low)
                found.append(bounded if high is None else min(bounded, high))
    return np.array(found)


def samples(steps: int = 40) -> Array:
    xs = np.random.default_rng(4).normal(size=(steps, 3))
    xs[5:7, 0] = np.nan
    return xs


@pytest.mark.parametrize("changes", [{}, {"low": (), "high": ()}, {"high": (None, None)}])
def test_each_answer_is_widened_scaled_sorted_and_bounded(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    spec = quantile_spec(**changes)
    path = tmp_path / "m.edge"
    bundle = make_bundle(path, spec)
    xs = samples()
    rows, filled = spec.inputs.features(xs)
    outputs = rt.Reference(spec, bundle.weights).run(rows)
    expected = np.array([plain(spec, y, x) for y, x in zip(outputs, filled, strict=True)])
    crossed = np.diff(outputs.reshape(-1, 3), axis=1).min(axis=1) < 0
    assert crossed.mean() > 0.5
    for backend in ("numpy", "native"):
        with rt.load(path).session(backend) as session:
            np.testing.assert_allclose(session.run(xs), expected, atol=1e-4)
            session.reset()
            stepped = np.array([session.step(x) for x in xs])
            np.testing.assert_allclose(stepped, expected, atol=1e-4)
        with rt.load(path).session(backend, streams=2) as session:
            both = session.run(np.stack([xs, xs[::-1]], axis=1))
            np.testing.assert_allclose(both[:, 0], expected, atol=1e-4)
    grouped = expected.reshape(-1, 3, 2, 3)
    assert (np.diff(grouped) >= 0).all()
    if not changes:
        assert grouped[:, :, 0].min() == -1.0
        assert grouped[:, :, 0].max() == 2.0
        assert grouped[:, :, 1].min() < -1.0


def test_a_bound_alone_holds_every_forecast(tmp_path: Path) -> None:
    spec = make_spec(task="forecast", channels=2, outputs=2, targets=["ch1", "ch0"])
    make_bundle(tmp_path / "free.edge", spec)
    xs = np.random.default_rng(5).normal(size=(50, 2))
    with rt.load(tmp_path / "free.edge").session("numpy") as session:
        free = session.run(xs)
    make_bundle(tmp_path / "m.edge", changed(spec, low=(None, 0.0)))
    with rt.load(tmp_path / "m.edge").session("numpy") as session:
        found = session.run(xs)
    np.testing.assert_array_equal(found[:, [0, 2]], free[:, [0, 2]])
    np.testing.assert_array_equal(found[:, [1, 3]], np.maximum(free[:, [1, 3]], 0))
    assert (free[:, [1, 3]] < 0).any()


def test_the_kernel_alone_answers_only_what_is_on_a_line() -> None:
    spec = make_spec(task="forecast", channels=2, outputs=2)
    last = np.zeros(2)
    for changes, expected in (
        ({}, True),
        ({"horizon": (3, 9)}, True),
        ({"low": (0.0, None)}, False),
        ({"horizon": 1, "quantiles": (0.4, 0.5), "offset": (0.0,) * 4}, False),
    ):
        one = changed(spec, **changes)
        weights = {name: np.zeros(shape, np.float32) for name, shape in one.network.weights.items()}
        assert (NativeBackend(one, weights).answerer(one, last) is not None) is expected


def test_names_say_the_step_ahead_and_the_quantile() -> None:
    ones = (1.0,) * 8
    answer = Forecast(("users", "a"), (1, 24), ones, ones, quantiles=(0.05, 0.5))
    assert answer.names == (
        *("users+1@0.05", "users+1@0.5", "a+1@0.05", "a+1@0.5"),
        *("users+24@0.05", "users+24@0.5", "a+24@0.05", "a+24@0.5"),
    )
    assert Forecast(("a",), (3,), (0.0,), (1.0,)).names == ("a+3",)
    assert Forecast(("a",), 2, (0.0,) * 2, (1.0,) * 2).ahead == (1, 2)


def test_an_answer_in_json_says_its_steps_and_quantiles() -> None:
    ones = (1.0,) * 12
    answer = Forecast(("users", "a"), (1, 24), ones, ones, quantiles=(0.05, 0.5, 0.95))
    assert answer.describe(np.arange(12, dtype=np.float32)) == {
        "forecast": {"users": [1.0, 7.0], "a": [4.0, 10.0]},
        "ahead": [1, 24],
        "quantiles": {
            "users": {"0.05": [0.0, 6.0], "0.95": [2.0, 8.0]},
            "a": {"0.05": [3.0, 9.0], "0.95": [5.0, 11.0]},
        },
    }
    plain_one = Forecast(("a",), 2, (0.0,) * 2, (1.0,) * 2)
    assert plain_one.describe(np.array([1.0, 2.0])) == {"forecast": {"a": [1.0, 2.0]}}


def test_the_command_answers_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(tmp_path / "m.edge", quantile_spec())
    (tmp_path / "x.jsonl").write_text("[0.1, 0.2, 0.3]\n")
    assert cli.main(["run", f"{tmp_path}/m.edge", "--input", f"{tmp_path}/x.jsonl"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["ahead"] == [1, 6, 24]
    assert [len(v) for v in found["forecast"].values()] == [3, 3]
    for target, forecast in found["forecast"].items():
        ends = found["quantiles"][target]
        assert list(ends) == ["0.05", "0.9"]
        for low, middle, high in zip(ends["0.05"], forecast, ends["0.9"], strict=True):
            assert low <= middle <= high


def test_it_survives_a_file_and_says_nothing_of_what_it_has_not() -> None:
    spec = quantile_spec()
    again = rt.ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)
    assert spec.to_dict()["answer"]["low"] == [-1.0, None]
    assert list(make_spec(task="forecast").to_dict()["answer"]) == [
        *("task", "targets", "horizon", "offset", "scale"),
    ]


def test_a_detector_of_quantiles_is_refused() -> None:
    detector = Detector((0.0,) * 18, (1.0,) * 18, 1.0)
    with pytest.raises(rt.BundleError, match="quantiles, and a detector watches single forecasts"):
        quantile_spec(detector=detector)
