"""Garbage before and between good lines is error lines, and changes no good line's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm_runtime import ModelSpec, Session
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.feeds.lines import answers
from helpers.generated import PROPERTY
from helpers.streamed import MODELS
from helpers.weights import random_weights

WORDS = {"", "nan", "null", "na", "none"}  # a missing value
READY = [
    "MPU6050 ready",
    "# a comment",
    "ets Jul 29 2019 12:21:46",
    "\ufffd\ufffd\x00\x7f",
    "E-3",
    ";",
    '"',
    "-",
    "\ufeff#",
]
BROKEN = [
    "[]",
    "{}",
    "[",
    '{"x": 1}',
    "[[1]]",
    "[true]",
    '["%"]',
    '[1, "a", 2]',
    '[1, "ch0"]',
    '{"reset": 1}',
    "[boot] ready",
    '{"log": "ready"',
]


def session(spec: ModelSpec, backend: str = "numpy") -> Session:
    weights = random_weights(spec)
    return Session(
        spec, NativeBackend(spec, weights) if backend == "native" else numpy_backend(spec, weights)
    )


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in WORDS
    return True


def is_garbage(spec: ModelSpec, line: str) -> bool:
    """Broken JSON, or fewer numbers than the model has channels. It names no channel."""
    line = line.strip().removeprefix("\ufeff").strip()
    if line[:1] in ("[", "{"):
        try:
            json.loads(line)
        except ValueError:
            return True
        return False
    cells = [cell.strip(' "') for cell in line.split(",")]
    named = {*spec.inputs.names, spec.inputs.time_column, "note"}.intersection(cells) - {""}
    return bool(line) and not named and sum(map(is_number, cells)) < spec.input_size


@st.composite
def good_lines(draw: st.DrawFn, spec: ModelSpec, columns: list[str]) -> str:
    """A reset, or one sample as CSV in this order of the columns, as a list, or as an object."""
    value = st.integers(0, 3) if spec.answer.task == "language" else st.floats(-3, 3)
    sample: dict[str, Any] = {name: draw(value) for name in spec.inputs.names}
    if spec.inputs.elapsed:
        sample[spec.inputs.elapsed] = draw(st.integers(0, 100))
    form = draw(st.sampled_from(["csv", "csv", "list", "object", "reset"]))
    if form == "reset":
        return '{"reset": true}'
    if form == "list":
        return json.dumps(list(sample.values()))
    if spec.inputs.elapsed and (form == "object" or spec.inputs.time_column in columns):
        sample[spec.inputs.time_column] = sample.pop(spec.inputs.elapsed)
    if form == "object":
        return json.dumps(sample)
    return ",".join(str(sample.get(name, "x")) for name in columns)


@st.composite
def garbage(draw: st.DrawFn, spec: ModelSpec, good: str) -> str:
    """A cut line, other text, broken bytes, values that no model takes, or nothing."""
    start = draw(st.integers(0, len(good)))
    cut = good[start : draw(st.integers(start, len(good)))]
    text = draw(st.one_of(st.text(max_size=30), st.text('0123456789.,;- \tE[]{}":', max_size=30)))
    raw = draw(st.binary(max_size=30)).decode("utf-8", "replace")
    refused = ",".join(["inf"] * (spec.input_size + 1))
    some = [line for line in (cut, text, raw, *READY) if is_garbage(spec, line)]
    return draw(st.sampled_from([*some, *BROKEN, refused, "", " \t"]))


def without_its_number(answer: dict[str, Any], lines: list[str]) -> dict[str, Any]:
    return {**answer, "line": lines[answer["line"] - 1]}


@pytest.mark.parametrize(
    ("name", "backend"),
    [*((name, "numpy") for name in MODELS), ("gaps filled", "native"), ("time", "native")],
)
@PROPERTY
@given(data=st.data())
def test_good_lines_are_answered_as_without_the_garbage(
    name: str, backend: str, data: st.DataObject
) -> None:
    spec = MODELS[name]
    columns = list(spec.inputs.names)
    good = []
    if data.draw(st.booleans(), "header"):
        columns = [
            "note",
            *(
                spec.inputs.time_column if channel == spec.inputs.elapsed else channel
                for channel in reversed(spec.inputs.names)
            ),
        ]
        good = [",".join(columns)]
    good += data.draw(st.lists(good_lines(spec, columns), max_size=6), "good")
    lines: list[str] = []
    errors: list[int] = []
    for line in (*good, ""):
        for bad in data.draw(st.lists(garbage(spec, line or "1.5,-0.25"), max_size=3), "garbage"):
            lines.append(bad)
            if bad.strip().removeprefix("\ufeff").strip():
                errors.append(len(lines))
        lines.append(line)
    reset_every = data.draw(st.sampled_from([0, 2]), "reset_every")

    found = list(answers(session(spec, backend), lines, reset_every))
    clean = list(answers(session(spec, backend), good, reset_every))
    json.dumps(found, allow_nan=False)
    assert [answer["line"] for answer in found] == sorted(answer["line"] for answer in found)
    assert [answer["line"] for answer in found if "error" in answer] == errors
    assert [without_its_number(answer, lines) for answer in found if "error" not in answer] == [
        without_its_number(answer, good) for answer in clean
    ]


HUGE = 10**400  # no float can hold it
ODD = [
    *(10**308, 1.7e308, -1.7e308, 5e-324, 1, 2, True, False, None),
    *("1e999", "9" * 400, "0001-01-01T00:00+23:59", "9999-12-31 23:59:59-23:59"),
]
VALUES = st.one_of(
    *(st.sampled_from(ODD), st.sampled_from([HUGE, -HUGE]), st.floats(), st.text(max_size=5)),
    st.recursive(st.integers(-1, 1), lambda inner: st.lists(inner, max_size=2), max_leaves=4),
)


@st.composite
def strange_lines(draw: st.DrawFn, spec: ModelSpec) -> str:
    """JSON or CSV of the right size, with any values in it."""
    names = list(spec.inputs.names)
    if spec.inputs.elapsed and draw(st.booleans()):
        names[names.index(spec.inputs.elapsed)] = spec.inputs.time_column
    values = [draw(VALUES) for _ in names]
    form = draw(st.sampled_from(["list", "object", "object", "csv", "csv", "header"]))
    if form == "header":
        return ",".join(names)
    if form == "csv":
        return ",".join(map(str, values))
    return json.dumps(values if form == "list" else dict(zip(names, values, strict=True)))


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("name", MODELS)
@PROPERTY
@given(data=st.data())
def test_no_line_ends_the_stream(name: str, backend: str, data: st.DataObject) -> None:
    spec = MODELS[name]
    lines = data.draw(st.lists(strange_lines(spec), min_size=3, max_size=8), "lines")
    found = list(answers(session(spec, "numpy" if spec.whole else backend), lines))
    json.dumps(found, allow_nan=False)
    told = sum(bool(line.strip()) for line in lines)
    named = (*spec.inputs.names, spec.inputs.time_column)
    headers = sum(line.partition(",")[0] in named for line in lines)
    assert told - headers <= len(found) <= told  # a header has no answer, unless it is another one


def test_a_time_that_no_float_holds_is_an_error_line() -> None:
    lines = [json.dumps({"a": 1, "b": 2, "when": t}) for t in (5, HUGE, -HUGE, 6)]
    found = list(answers(session(MODELS["time"]), lines))
    assert ["error" in answer for answer in found] == [False, True, True, False]
    assert found[1]["error"].startswith("time 'when' is 1000")
    assert found[1]["error"].endswith("expected seconds or a datetime such as 2024-05-31 23:55:00")
