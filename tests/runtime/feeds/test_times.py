"""The column of times in lines of CSV and JSON: for a calendar, for dt, and for both."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.transforms import Calendar, Distance
from edge_lstm_runtime.session import Session
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.specs import chain
from helpers.weights import random_weights

WHEN = ["2024-03-01 12:00", "2024-03-01 13:30", "2024-03-02 00:00:30"]
SECONDS = [
    datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()
    for text in WHEN
]
VALUES = [3.0, -1.0, 0.5]


def spec_of(*, dt: bool) -> rt.ModelSpec:
    channels = ("value", "when", *(["gap"] if dt else []))
    clock = "gap" if dt else "when"
    inputs = Channels(
        channels,
        (0.5, SECONDS[0], 1.0)[: len(channels)],
        (2.0, 1e5, 0.7)[: len(channels)],
        transforms=(
            Calendar("when", ("hour", "weekday")),
            Distance(("value",), (0.0,), (1.0,), seconds=3600.0, clock=clock),
        ),
        drop=("when",),
        **({"dt": "gap", "dt_unit": 3600.0, "time": "when"} if dt else {}),
    )
    return rt.ModelSpec(
        inputs, chain(inputs.feature_size, 5, 1, 1), Forecast(("value",), 1, (0.0,), (1.0,))
    )


def session(spec: rt.ModelSpec) -> Session:
    return Session(spec, NumpyBackend(spec, random_weights(spec)))


def told(spec: rt.ModelSpec, text: str) -> list[float]:
    lines = list(answers(session(spec), text.splitlines(keepends=True)))
    return [line["forecast"]["value"][0] for line in lines]


def expected(spec: rt.ModelSpec) -> list[float]:
    gaps = [0, *np.diff(SECONDS)]
    rows = np.column_stack([VALUES, SECONDS, gaps])[:, : spec.inputs.size]
    return [float(y[0]) for y in map(session(spec).step, rows[:1])] + [
        float(y) for y in session(spec).run(rows)[1:, 0]
    ]


@pytest.mark.parametrize("dt", [False, True], ids=["calendar", "calendar and dt"])
def test_one_column_of_times_is_enough(dt: bool) -> None:
    spec = spec_of(dt=dt)
    right = pytest.approx(expected(spec), rel=1e-6)
    rows = list(zip(VALUES, WHEN, SECONDS, strict=True))
    texts = [
        "when,value\n" + "".join(f"{when},{value}\n" for value, when, _ in rows),
        "value,other,when\n" + "".join(f"{value},x,{when}\n" for value, when, _ in rows),
        "value,when\n" + "".join(f"{value},{seconds}\n" for value, _, seconds in rows),
        "".join(json.dumps({"value": v, "when": when}) + "\n" for v, when, _ in rows),
        "".join(json.dumps({"value": v, "when": seconds}) + "\n" for v, _, seconds in rows),
    ]
    if not dt:
        texts += [
            "".join(f"{value},{when}\n" for value, when, _ in rows),
            "".join(json.dumps([v, when]) + "\n" for v, when, _ in rows),
        ]
    for text in texts:
        assert told(spec, text) == right, text


def test_a_zone_in_a_datetime_counts() -> None:
    spec = spec_of(dt=False)
    text = 'when,value\n2024-03-01T13:00:00+01:00,3\n{"when": "2024-03-01T12:00:00Z", "value": 3}\n'
    first, _ = told(spec, text)
    assert first == pytest.approx(expected(spec)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"value": 1, "when": "soon"}', "time 'when' is 'soon'; expected seconds or a datetime"),
        ('{"value": 1, "when": null}', "time 'when' is None"),
        ('{"value": 1}', "channels ['when'] are missing"),
        ('{"value": 1, "when": 1709294400000}', "expected seconds since 1970"),
        ("1,", "time 'when' is ''"),
    ],
)
def test_a_time_that_is_none_is_refused(line: str, message: str) -> None:
    found: list[dict[str, Any]] = list(answers(session(spec_of(dt=False)), [line]))
    assert message in found[0]["error"]
