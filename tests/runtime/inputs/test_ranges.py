"""Samples far outside of the training's range: the rule, the specification, and the answers."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm_runtime import BundleError, ModelSpec, Session, load, write_bundle
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.inputs.transforms import Calendar
from edge_lstm_runtime.model.npz import write_npz
from helpers.bundles import network_outputs
from helpers.commands import here
from helpers.generated import PROPERTY
from helpers.specs import changed, make_spec, samples
from helpers.weights import random_weights

nan = math.nan


def ranged(**changes: Any) -> ModelSpec:
    """Channels of -1 to 3, 10 to 10.5, and constant 7."""
    return changed(
        make_spec(channels=["a", "b", "c"]), low=(-1.0, 10.0, 7.0), high=(3.0, 10.5, 7.0), **changes
    )


def session(spec: ModelSpec) -> Session:
    return Session(spec, numpy_backend(spec, random_weights(spec)))


@pytest.mark.parametrize(
    ("sample", "outside"),
    [
        ([0, 10.2, 7], ""),
        ([-1, 10, 7], ""),
        ([-5, 9.5, 7], ""),
        ([7, 11, 7], ""),
        ([-5.01, 10, 7], "a"),
        ([7.01, 9.49, 7], "ab"),
        ([0, 11.01, 7.1], "bc"),
        ([0, 10, 6.999], "c"),
        ([nan, nan, nan], ""),
        ([1e30, nan, 7], "a"),
    ],
)
def test_the_rule(sample: list[float], outside: str) -> None:
    found = ranged().inputs.out_of_range([sample, sample])
    assert found.shape == (2, 3)
    assert found.dtype == bool
    assert ["".join(np.array(["a", "b", "c"])[row]) for row in found] == [outside] * 2


@given(x=st.floats(-1e6, 1e6), low=st.floats(-1e3, 1e3), width=st.floats(0.1, 1e3))
@PROPERTY
def test_one_channel_against_plain_python(x: float, low: float, width: float) -> None:
    high = low + width
    spec = changed(make_spec(channels=["a"]), low=(low,), high=(high,))
    far = x < low - (high - low) or x > high + (high - low)
    assert spec.inputs.out_of_range([[x]]).tolist() == [[far]]


def test_a_constant_in_float32_is_the_constant() -> None:
    spec = changed(make_spec(channels=["a"]), low=(0.1,), high=(0.1,))
    assert not spec.inputs.out_of_range(np.array([[0.1]], np.float32)).any()
    assert spec.inputs.out_of_range([[0.1001]]).all()


def test_steps_of_time_have_a_rule_of_their_own() -> None:
    spec = changed(
        make_spec(channels=["a", "dt"]), low=(0.0, 60.0), high=(1.0, 300.0), dt="dt", time="t"
    )
    times = [0, 0.5, 0.6, 60, 1e4, 30000, 30001]
    found = spec.inputs.out_of_range([[0, dt] for dt in times])
    assert found[:, 1].tolist() == [False, True, False, False, False, False, True]
    assert not found[:, 0].any()


def test_a_channel_of_times_has_no_range() -> None:
    calendar = Calendar("t", ("hour",), (0.0,))
    spec = make_spec(channels=["a"])
    inputs = changed(spec, low=(0.0,), high=(1.0,)).inputs
    timed = dataclasses.replace(
        inputs,
        channels=("a", "t"),
        mean=(0.0, 1.7e9),
        std=(1.0, 1.0),
        transforms=(calendar,),
        drop=("t",),
        low=(0.0, 1.7e9),
        high=(1.0, 1.71e9),
    )
    assert timed.out_of_range([[5.0, 4e9]]).tolist() == [[True, False]]


def test_models_of_earlier_versions_have_no_range() -> None:
    spec = make_spec(channels=["a", "b", "c"])
    assert not spec.inputs.out_of_range([[1e9, -1e9, 0]]).any()
    assert not {"low", "high"} & spec.to_dict()["inputs"].keys()
    with_range = ranged()
    assert ModelSpec.from_dict(json.loads(json.dumps(with_range.to_dict()))) == with_range


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ((0.0, 0.0), (1.0, 1.0, 1.0), "low has 2 values, expected 3"),
        ((0.0, 0.0, 0.0), (), "high has 0 values, expected 3"),
        ((0.0, 2.0, 0.0), (1.0, 1.0, 1.0), r"low is above high for \['b'\]"),
        ((0.0, nan, 0.0), (1.0, 1.0, 1.0), "low is .*expected a list of numbers"),
    ],
)
def test_ranges_that_cant_be(low: Any, high: Any, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        dataclasses.replace(ranged().inputs, low=low, high=high)


def test_answers_name_the_channels_and_are_else_as_before() -> None:
    lines = ["0,10,7", "100,10,8", '{"a": 0, "b": 0, "c": 7}', "x", "0,10,7"]
    found = list(answers(session(ranged()), lines))
    plain = list(answers(session(make_spec(channels=["a", "b", "c"])), lines))
    marks = [answer.pop("out_of_range", None) for answer in found]
    assert marks == [None, ["a", "c"], ["b"], None, None]
    assert found == plain


def test_answers_of_whole_sequences_name_them_too() -> None:
    spec = make_spec(channels=["a", "b"], bidirectional=True)
    ranged_spec = changed(spec, low=(0.0, 0.0), high=(1.0, 1.0))
    found = list(answers(session(ranged_spec), ["0,1", "0,9"]))
    assert [answer.get("out_of_range") for answer in found] == [None, ["b"]]


def test_run_says_once_that_the_steps_are_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = changed(
        make_spec(channels=["a", "dt"]), low=(0.0, 60.0), high=(1.0, 300.0), dt="dt", time="t"
    )
    bundle = tmp_path / "a.edge"
    weights = random_weights(spec)
    xs = np.abs(samples(spec, 20))
    golden = write_npz({"x": xs, "y": network_outputs(spec, weights, xs)})
    write_bundle(bundle, spec, weights, {"golden.npz": golden})
    text = tmp_path / "a.csv"
    text.write_text("t,a\n" + "".join(f"{1000 * 60_000 + k * 60_000},0.5\n" for k in range(4)))
    code, out, err = here(capfd, "run", bundle, "--backend", "numpy", "--input", text)
    assert code == 0
    assert [json.loads(line).get("out_of_range") for line in out.splitlines()] == [
        None,
        ["dt"],
        ["dt"],
        ["dt"],
    ]
    assert err.count("more than 100 times outside of the training's steps") == 1
    assert err.startswith("edge-lstm: line 3: ")
    text.write_text("t,a\n" + "".join(f"{k * 60},{k * 50}\n" for k in range(4)))
    code, out, err = here(capfd, "run", bundle, "--backend", "numpy", "--input", text)
    assert (code, err) == (0, "")
    assert load(bundle).spec == spec
