"""The model specification: what it refuses, and that it survives JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BundleError, ModelSpec
from helpers.specs import make_spec
from helpers.weights import random_weights


@pytest.mark.parametrize(
    "spec",
    [make_spec(), make_spec(task="forecast", missing="mask", residual=True, layers=3), make_spec(bidirectional=True)],
    ids=["classify", "forecast", "bidirectional"],
)
def test_round_trip_through_json(spec: ModelSpec) -> None:
    again = ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)


def test_what_came_later_is_left_out_where_it_has_no_use() -> None:
    """A bundle without sound, detector or dt is the one that runtimes before them wrote, and read."""
    assert set(make_spec().to_dict()) == {
        "task", "channels", "hidden_size", "num_layers", "input_mean", "input_std", "missing", "classes", "targets", "horizon",
        "output_offset", "output_scale", "residual", "bidirectional",
    }  # fmt: skip


def test_sizes_and_counts() -> None:
    spec = make_spec(channels=3, hidden=8, layers=2, outputs=4, missing="mask")
    assert (spec.input_size, spec.feature_size, spec.output_size) == (3, 6, 4)
    parameters = 6 * 32 + 8 * 32 + 32 + 8 * 32 + 8 * 32 + 32 + 8 * 4 + 4
    assert spec.parameters == parameters == sum(a.size for a in random_weights(spec).values())
    assert spec.macs_per_step == 6 * 32 + 8 * 32 + 8 * 32 + 8 * 32 + 8 * 4 + 3 * 8 * 2


CLASSIFY: dict[str, tuple[dict[str, Any], str]] = {
    "unknown task": ({"task": "cluster"}, "task is 'cluster'"),
    "unknown policy": ({"missing": "drop"}, "missing is 'drop'"),
    "no channels": ({"channels": []}, "no input channels"),
    "repeated channel": ({"channels": ["a", "b", "a"]}, "repeat"),
    "channels as one text": ({"channels": "abc"}, "channels"),
    "channels that are numbers": ({"channels": [1, 2, 3]}, "channels"),
    "nested channels": ({"channels": [["a"], ["b"], ["c"]]}, "channels|malformed"),
    "no layers": ({"num_layers": 0}, "num_layers is 0"),
    "too many layers": ({"num_layers": 5}, "num_layers is 5"),
    "layers as text": ({"num_layers": "1"}, "num_layers"),
    "hidden size 0": ({"hidden_size": 0}, "hidden_size is 0"),
    "negative hidden size": ({"hidden_size": -8}, "hidden_size is -8"),
    "fractional hidden size": ({"hidden_size": 8.5}, "hidden_size"),
    "hidden size as a float": ({"hidden_size": 8.0}, "hidden_size"),
    "hidden size true": ({"hidden_size": True}, "hidden_size"),
    "hidden size null": ({"hidden_size": None}, "hidden_size"),
    "one mean short": ({"input_mean": [0, 0]}, "input_mean has 2 values for 3"),
    "NaN mean": ({"input_mean": [0, math.nan, 0]}, "input_mean"),
    "mean as text": ({"input_mean": ["0", "0", "0"]}, "input_mean"),
    "mean beyond float": ({"input_mean": [10**400, 0, 0]}, "input_mean"),
    "mean beyond float32": ({"input_mean": [1e300, 0, 0]}, "input_mean"),
    "mean as a number": ({"input_mean": 0.0}, "input_mean|malformed"),
    "zero deviation": ({"input_std": [1, 0, 1]}, "input_std"),
    "negative deviation": ({"input_std": [1, -1, 1]}, "input_std"),
    "deviation too small to divide by": ({"input_std": [1, 1e-310, 1]}, "input_std"),
    "infinite deviation": ({"input_std": [1, math.inf, 1]}, "input_std"),
    "one class": ({"classes": ["a"]}, "classes"),
    "repeated class": ({"classes": ["a", "b", "a"]}, "repeat"),
    "classes that are numbers": ({"classes": [1, 2]}, "classes"),
    "residual classification": ({"residual": True}, "residual"),
    "residual as text": ({"residual": "no"}, "residual"),
    "bidirectional as a number": ({"bidirectional": 1}, "bidirectional is 1, expected true or false"),
    "unknown key": ({"depth": 3}, "unknown keys.*depth"),
}
FORECAST: dict[str, tuple[dict[str, Any], str]] = {
    "bidirectional": ({"bidirectional": True}, "bidirectional is for task 'classify'.*read the future"),
    "no horizon": ({"horizon": 0}, "horizon is 0"),
    "fractional horizon": ({"horizon": 1.5}, "horizon"),
    "no targets": ({"targets": [], "output_offset": [], "output_scale": []}, "targets"),
    "unknown target": ({"targets": ["ch0", "other"]}, "other"),
    "repeated target": ({"targets": ["ch0", "ch0"]}, "repeat"),
    "short offset": ({"output_offset": [0.0]}, "output_offset has 1"),
    "infinite scale": ({"output_scale": [math.inf] * 8}, "output_scale"),
    "scale as text": ({"output_scale": ["1"] * 8}, "output_scale"),
}


@pytest.mark.parametrize(("change", "message"), CLASSIFY.values(), ids=CLASSIFY)
def test_refused_for_classify(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        ModelSpec.from_dict({**make_spec().to_dict(), **change})


@pytest.mark.parametrize(("change", "message"), FORECAST.values(), ids=FORECAST)
def test_refused_for_forecast(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        ModelSpec.from_dict({**make_spec(task="forecast").to_dict(), **change})


@pytest.mark.parametrize("key", ["task", "channels", "hidden_size", "num_layers", "input_mean", "input_std"])
def test_a_missing_key_is_named(key: str) -> None:
    values = make_spec().to_dict()
    del values[key]
    with pytest.raises(BundleError, match=key):
        ModelSpec.from_dict(values)


def test_weights_are_checked() -> None:
    spec = make_spec()
    good = random_weights(spec)
    spec.check_weights(good)
    cases: dict[str, Any] = {
        "expected float32": {**good, "head.b": good["head.b"].astype(np.float64)},
        r"float32\(32,\), expected float32\(4,\)": {**good, "head.b": good["layer0.b"]},
        "not finite": {**good, "head.b": np.full(4, np.nan, np.float32)},
        "weights are": {k: v for k, v in good.items() if k != "head.b"},
        "weights are .*more": {**good, "more": good["head.b"]},
    }
    for message, weights in cases.items():
        with pytest.raises(BundleError, match=message):
            spec.check_weights(weights)
