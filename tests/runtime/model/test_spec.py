"""The model specification: what it refuses, and that it survives JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BundleError, ModelSpec
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.text import TextForm
from edge_lstm_runtime.inputs.times import Times
from edge_lstm_runtime.model.spec import inputs_from
from edge_lstm_runtime.tasks.forecast import Detector
from helpers.sounds import LOG_MEL, sound_spec
from helpers.specs import chain, changed, language_spec, make_spec
from helpers.weights import random_weights


@pytest.mark.parametrize(
    "spec",
    [
        make_spec(),
        make_spec(task="forecast", missing="mask", residual=True, layers=3),
        make_spec(bidirectional=True),
    ],
    ids=["classify", "forecast", "bidirectional"],
)
def test_round_trip_through_json(spec: ModelSpec) -> None:
    again = ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)


def test_what_came_later_is_left_out_where_it_has_no_use() -> None:
    """A bundle without sound, detector or dt says nothing of them."""
    assert make_spec(channels=1, hidden=2, outputs=2).to_dict() == {
        "inputs": {"kind": "channels", "channels": ["ch0"], "mean": [-1.0], "std": [1.0]},
        "network": [
            {"type": "lstm", "name": "lstm0", "inputs": ["x"], "units": 2},
            {
                "type": "dense",
                "name": "head",
                "inputs": ["lstm0"],
                "units": 2,
                "activation": "none",
            },
        ],
        "answer": {"task": "classify", "classes": ["class0", "class1"]},
    }


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (TextForm(), None),
        (TextForm(separator=";", decimal=","), {"separator": ";", "decimal": ","}),
        (TextForm(time=("date", "time")), {"time": ["date", "time"]}),
        (
            TextForm(missing=("-200",), times=Times("%d.%m.%Y", zone=((0, 3600),))),
            {"missing": ["-200"], "times": {"format": "%d.%m.%Y", "zone": [[0, 3600]]}},
        ),
    ],
)
def test_of_a_text_only_what_is_special_is_written(text: TextForm, values: object) -> None:
    spec = make_spec()
    assert isinstance(spec.inputs, Channels)
    inputs = dataclasses.replace(spec.inputs, text=text)
    written = json.loads(json.dumps(inputs.to_dict()))
    assert written.get("text") == values
    assert inputs_from(written) == inputs


def test_sizes_and_counts() -> None:
    spec = make_spec(channels=3, hidden=8, layers=2, outputs=4, missing="mask")
    assert (spec.input_size, spec.feature_size, spec.output_size) == (3, 6, 4)
    parameters = 6 * 32 + 8 * 32 + 32 + 8 * 32 + 8 * 32 + 32 + 8 * 4 + 4
    assert (
        spec.network.parameters == parameters == sum(a.size for a in random_weights(spec).values())
    )
    assert spec.network.macs_per_step == 6 * 32 + 8 * 32 + 8 * 32 + 8 * 32 + 8 * 4 + 3 * 8 * 2


Changes = dict[str, Any]
INPUTS: dict[str, tuple[Changes, str]] = {
    "unknown kind": ({"kind": "pictures"}, "kind is 'pictures', expected one of channels"),
    "unknown policy": ({"missing": "drop"}, "missing is 'drop'"),
    "no channels": ({"channels": [], "mean": [], "std": []}, "channels has 0 names, expected at"),
    "repeated channel": ({"channels": ["a", "b", "a"]}, "repeat"),
    "channels as one text": ({"channels": "abc"}, "channels is 'abc'"),
    "channels that are numbers": ({"channels": [1, 2, 3]}, "channels"),
    "nested channels": ({"channels": [["a"], ["b"], ["c"]]}, "channels"),
    "one mean short": ({"mean": [0, 0]}, "mean has 2 values, expected 3"),
    "NaN mean": ({"mean": [0, math.nan, 0]}, "mean is .*nan"),
    "mean as text": ({"mean": ["0", "0", "0"]}, "mean is"),
    "mean beyond float": ({"mean": [10**400, 0, 0]}, "mean is"),
    "mean beyond float32": ({"mean": [1e300, 0, 0]}, "mean is"),
    "mean as a number": ({"mean": 0.0}, "mean is 0.0"),
    "zero deviation": ({"std": [1, 0, 1]}, "std is"),
    "negative deviation": ({"std": [1, -1, 1]}, "std is"),
    "deviation too small to divide by": ({"std": [1, 1e-310, 1]}, "std is"),
    "infinite deviation": ({"std": [1, math.inf, 1]}, "std is"),
    "unknown key": ({"depth": 3}, "unknown keys.*depth"),
}
LSTM: dict[str, tuple[Changes, str]] = {
    "unknown type": ({"type": "mamba"}, r"layer 'lstm0': type is 'mamba', expected one of .*lstm"),
    "no units": ({"units": 0}, "layer 'lstm0': units is 0"),
    "negative units": ({"units": -8}, "units is -8"),
    "fractional units": ({"units": 8.5}, "units is 8.5"),
    "units as a float": ({"units": 8.0}, "units is 8.0"),
    "units as text": ({"units": "8"}, "units is '8'"),
    "units true": ({"units": True}, "units is True"),
    "units null": ({"units": None}, "units is None"),
    "too many units": (
        {"units": 10**6},
        "units is 1000000, expected a whole number from 1 to 16384",
    ),
    "unknown key": ({"depth": 3}, r"layer 'lstm0': has unknown keys \['depth'\]"),
    "a name with a dot": ({"name": "lstm.0"}, "layer 'lstm.0': expected a name without dots"),
    "no name": ({"name": ""}, "layer '': expected a name"),
    "the features' name": ({"name": "x"}, "layer 'x': the name stands for the features"),
    "the name of another": ({"name": "head"}, "layer 'head': the name is there twice"),
    "inputs as text": ({"inputs": "x"}, "layer 'lstm0': inputs is 'x', expected a list of names"),
    "no inputs": ({"inputs": []}, "layer 'lstm0': inputs is"),
    "an unknown input": ({"inputs": ["y"]}, "layer 'lstm0': reads 'y', and there is no such layer"),
    "itself": (
        {"inputs": ["lstm0"]},
        "layer 'lstm0': reads 'lstm0', which does not come before it",
    ),
    "a later one": (
        {"inputs": ["head"]},
        "layer 'lstm0': reads 'head', which does not come before",
    ),
}
CLASSIFY: dict[str, tuple[Changes, str]] = {
    "unknown task": ({"task": "cluster"}, "task is 'cluster', expected one of classify, forecast"),
    "one class": ({"classes": ["a"]}, "classes"),
    "repeated class": ({"classes": ["a", "b", "a"]}, "repeat"),
    "classes that are numbers": ({"classes": [1, 2]}, "classes"),
    "more classes than outputs": ({"classes": list("abcde")}, "has 4 outputs, and the answer 5"),
    "residual classification": ({"residual": True}, "unknown keys.*residual"),
    "unknown key": ({"depth": 3}, "unknown keys.*depth"),
}
FORECAST: dict[str, tuple[Changes, str]] = {
    "no horizon": ({"horizon": 0}, "horizon is 0"),
    "fractional horizon": ({"horizon": 1.5}, "horizon is 1.5"),
    "no steps ahead": ({"horizon": ()}, r"horizon is \[\], expected ascending whole numbers"),
    "a step of 0": ({"horizon": (0, 1, 2)}, r"horizon is \[0, 1, 2\]"),
    "a flag as step": ({"horizon": (True, 2, 3)}, r"horizon is \[True, 2, 3\]"),
    "unordered steps": ({"horizon": (1, 3, 2)}, r"horizon is \[1, 3, 2\]"),
    "a step too far": ({"horizon": (1, 2, 100_001)}, "1 to 100,000"),
    "steps without outputs": ({"horizon": (1, 2, 9)}, "offset has 8 values, expected 6"),
    "no median": ({"quantiles": (0.1, 0.9)}, "quantiles is .*expected ascending numbers"),
    "unordered quantiles": ({"quantiles": (0.5, 0.1)}, "quantiles is .*expected ascending"),
    "a quantile of 1": ({"quantiles": (0.5, 1.0)}, "quantiles is .*between 0 and 1"),
    "quantiles as text": ({"quantiles": "0.5"}, "quantiles is '0.5'"),
    "few outputs": (
        {"quantiles": (0.1, 0.5, 0.9)},
        "offset has 8 values, expected 24",
    ),
    "widths without quantiles": ({"widths": (1.0,)}, "has widths, and no quantiles"),
    "a negative width": ({"quantiles": (0.5,), "widths": (-1.0,) * 8}, "widths is"),
    "one width": ({"quantiles": (0.5,), "widths": (1.0,)}, "widths has 1 value"),
    "a bound as text": ({"low": ("0", None)}, "low is"),
    "one bound for two": ({"high": (1.0,)}, "high has 1 value, expected 2"),
    "bounds in no list": ({"high": 1.0}, "high is 1.0, expected a number or null for each target"),
    "an endless bound": ({"high": (math.inf, None)}, "high is"),
    "bounds that cross": (
        {"low": (None, 2.0), "high": (None, 1.0)},
        "low of .* is 2.0, expected below its high, 1.0",
    ),
    "no targets": ({"targets": [], "offset": [], "scale": []}, "targets has 0 names"),
    "unknown target": ({"targets": ["ch0", "other"]}, "other"),
    "repeated target": ({"targets": ["ch0", "ch0"]}, "repeat"),
    "short offset": ({"offset": [0.0]}, "offset has 1 value, expected 8"),
    "infinite scale": ({"scale": [math.inf] * 8}, "scale is"),
    "scale as text": ({"scale": ["1"] * 8}, "scale is"),
    "residual as text": ({"residual": "no"}, "residual is 'no', expected true or false"),
}


def refused(values: Changes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        ModelSpec.from_dict(json.loads(json.dumps(values)))


@pytest.mark.parametrize(("change", "message"), INPUTS.values(), ids=INPUTS)
def test_refused_inputs(change: Changes, message: str) -> None:
    values = make_spec().to_dict()
    refused({**values, "inputs": {**values["inputs"], **change}}, message)


@pytest.mark.parametrize(("change", "message"), LSTM.values(), ids=LSTM)
def test_refused_layers(change: Changes, message: str) -> None:
    values = make_spec().to_dict()
    first, head = values["network"]
    refused({**values, "network": [{**first, **change}, head]}, message)


@pytest.mark.parametrize(("change", "message"), CLASSIFY.values(), ids=CLASSIFY)
def test_refused_for_classify(change: Changes, message: str) -> None:
    values = make_spec().to_dict()
    refused({**values, "answer": {**values["answer"], **change}}, message)


@pytest.mark.parametrize(("change", "message"), FORECAST.values(), ids=FORECAST)
def test_refused_for_forecast(change: Changes, message: str) -> None:
    values = make_spec(task="forecast").to_dict()
    refused({**values, "answer": {**values["answer"], **change}}, message)


def test_refused_networks() -> None:
    values = make_spec().to_dict()
    first, head = values["network"]
    many = [{**first, "name": f"l{k}"} for k in range(64)]
    refused({**values, "network": []}, "network: has 0 layers, expected 1 to 64")
    refused({**values, "network": [*many, head]}, "network: has 65 layers, expected 1 to 64")
    refused({**values, "network": "lstm"}, "network: is 'lstm', expected a list of layers")
    refused({**values, "network": {"lstm0": first}}, "expected a list of layers")
    refused({**values, "network": ["lstm", head]}, "is 'lstm', expected an object with a type")
    refused({**values, "network": [first]}, "layer 'lstm0': has 8 outputs, and the answer 4")
    refused(
        {**values, "network": [{**first, "inputs": ["x", 1]}, head]}, "expected a list of names"
    )
    refused({**values, "network": [first, {**head, "activation": "gelu"}]}, "activation is 'gelu'")


def test_a_wrapped_layer_is_checked_as_any_other() -> None:
    values = make_spec(bidirectional=True).to_dict()
    both, head = values["network"]
    for layer, message in (
        ({"type": "lstm", "units": 0}, "layer 'lstm0': units is 0"),
        ({"type": "lstm"}, r"layer 'lstm0': lacks \['units'\]"),
        ({"type": "mamba"}, "layer 'lstm0': type is 'mamba'"),
        ("lstm", "layer 'lstm0': layer is 'lstm', expected an object with a type"),
        (3, "layer 'lstm0': layer is 3, expected an object with a type"),
    ):
        refused({**values, "network": [{**both, "layer": layer}, head]}, message)


def test_a_forecast_does_not_read_the_future() -> None:
    spec = make_spec(task="forecast")
    network = chain(3, 8, 1, spec.output_size, bidirectional=True)
    with pytest.raises(BundleError, match="reads both ways: it would read the future"):
        ModelSpec(spec.inputs, network, spec.answer)


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("inputs", "kind"),
        ("inputs", "channels"),
        ("inputs", "mean"),
        ("inputs", "std"),
        ("answer", "task"),
        ("answer", "classes"),
    ],
)
def test_a_missing_key_is_named(part: str, key: str) -> None:
    values = make_spec().to_dict()
    refused({**values, part: {k: v for k, v in values[part].items() if k != key}}, key)


@pytest.mark.parametrize("key", ["type", "name", "inputs", "units"])
def test_a_missing_key_of_a_layer_is_named(key: str) -> None:
    values = make_spec().to_dict()
    first, head = values["network"]
    refused({**values, "network": [{k: v for k, v in first.items() if k != key}, head]}, key)


@pytest.mark.parametrize("key", ["inputs", "network", "answer"])
def test_a_missing_or_foreign_part_is_named(key: str) -> None:
    values = make_spec().to_dict()
    refused(
        {k: v for k, v in values.items() if k != key}, "expected .*'answer', 'inputs', 'network'"
    )
    refused({**values, "more": {}}, "'more'")
    for wrong in (None, 3, "text", [1], []):
        refused({**values, key: wrong}, key)


def test_weights_are_checked() -> None:
    spec = make_spec()
    good = random_weights(spec)
    spec.network.check_weights(good)
    cases: dict[str, Any] = {
        "expected float32": {**good, "head.b": good["head.b"].astype(np.float64)},
        r"float32\(32,\), expected float32\(4,\)": {**good, "head.b": good["lstm0.b"]},
        "not finite": {**good, "head.b": np.full(4, np.nan, np.float32)},
        "weights are": {k: v for k, v in good.items() if k != "head.b"},
        "weights are .*more": {**good, "more": good["head.b"]},
    }
    for message, weights in cases.items():
        with pytest.raises(BundleError, match=message):
            spec.network.check_weights(weights)


ODD: list[Any] = [0, -1, 0.5, 1e308, math.nan, 2**63, 10**400, True, None, "", "x", [], {}, [[]]]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from places(value[key])


@pytest.mark.parametrize(
    "spec",
    [
        make_spec(channels=2, hidden=2, outputs=2, bidirectional=True, missing="mask"),
        changed(
            make_spec(task="forecast", channels=["a", "dt"], hidden=2, outputs=1, targets=["a"]),
            dt="dt",
            time="t",
            detector=Detector((0.0,), (1.0,), 2.0),
        ),
        sound_spec(dataclasses.replace(LOG_MEL, n_mels=2)),
        language_spec("ab", hidden=2),
    ],
    ids=["both ways", "detector", "sound", "language"],
)
def test_any_odd_value_anywhere_is_taken_or_refused_in_a_line(spec: ModelSpec) -> None:
    text = json.dumps(spec.to_dict())
    refusals = []
    for n in range(len(list(places(json.loads(text))))):
        for odd in ODD:
            values = json.loads(text)
            container, key = list(places(values))[n]
            container[key] = odd
            try:
                ModelSpec.from_dict(values)
            except BundleError as e:
                refusals.append(str(e))
    assert len(refusals) > 200
    assert not [line for line in refusals if "\n" in line]
