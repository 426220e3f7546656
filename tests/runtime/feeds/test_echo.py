"""The "id" and "ts" of a JSON line stand in its answer, as in the answers of `serve`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.feeds.blocks import Blocks
from edge_lstm_runtime.serve import together
from edge_lstm_runtime.serve.stream import Stream, Work
from helpers.generated import PROPERTY
from helpers.specs import changed, make_spec
from helpers.weights import random_weights

NAMED = make_spec(channels=("id", "b"))  # a channel is called like a member that is repeated
PAIR = make_spec(channels=("a", "b"))


def session(spec: rt.ModelSpec) -> rt.Session:
    return rt.Session(spec, numpy_backend(spec, random_weights(spec)))


def run(spec: rt.ModelSpec, *lines: object, every: int = 1) -> list[dict[str, Any]]:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    found = "".join(Blocks(session(spec), every=every).texts([texts]))
    return [json.loads(line) for line in found.splitlines()]


def heads(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an answer has besides the label."""
    return [{k: v for k, v in a.items() if k in ("line", "id", "ts", "error")} for a in answers]


def test_they_stand_behind_the_number_of_the_line() -> None:
    lines = [
        {"ts": 1690000000.5, "a": 1, "id": 7, "b": 2},
        "1,2",
        [1, 2],
        {"a": 1, "b": 2, "id": 'q"ü'},
        {"a": 1, "b": 2, "ts": None},
    ]
    found = run(PAIR, *lines)
    assert list(found[0])[:4] == ["line", "id", "ts", "label"]
    assert heads(found) == [
        {"line": 1, "id": 7, "ts": 1690000000.5},
        {"line": 2},
        {"line": 3},
        {"line": 4, "id": 'q"ü'},
        {"line": 5, "ts": None},
    ]
    plain = run(PAIR, *["1,2"] * 5)
    assert [a["probabilities"] for a in found] == [a["probabilities"] for a in plain]


def test_a_line_that_is_refused_and_a_reset_have_them_too() -> None:
    found = run(
        PAIR, {"id": 1, "a": 1}, {"id": 2, "ts": 3, "a": 1, "b": "x"}, {"id": 4, "reset": True}, "x"
    )
    assert heads(found) == [
        {"line": 1, "id": 1, "error": "channels ['b'] are missing; expected ['a', 'b']"},
        {"line": 2, "id": 2, "ts": 3, "error": "channel 'b' is 'x'; expected a number"},
        {"line": 3, "id": 4},
        {"line": 4, "error": found[3]["error"]},
    ]
    assert found[2] == {"line": 3, "id": 4, "reset": True}


def test_with_every_they_are_those_of_the_samples_that_are_answered() -> None:
    lines = [{"id": k, "a": 1, "b": 2} for k in range(1, 8)]
    assert heads(run(PAIR, *lines, every=3)) == [
        {"line": 3, "id": 3}, {"line": 6, "id": 6}, {"line": 7, "id": 7},
    ]  # fmt: skip


def test_of_whole_sequences() -> None:
    spec = make_spec(channels=("a", "b"), bidirectional=True)
    lines = [{"id": k, "a": 1, **({"b": 2} if k != 2 else {})} for k in range(1, 4)]
    found = run(spec, *lines)
    assert [(a["line"], a["id"], "error" in a) for a in found] == [
        (1, 1, False), (2, 2, True), (3, 3, False),
    ]  # fmt: skip


def test_a_column_of_times_called_ts_is_read_and_repeated() -> None:
    spec = make_spec(channels=("a", "dt"), mean=(0, 1), std=(1, 1))
    timed = changed(spec, dt="dt", dt_unit=1.0, time="ts")
    found = run(timed, {"ts": "2024-05-31 23:55:00", "a": 1}, {"ts": 1717199705, "a": 1})
    assert heads(found) == [
        {"line": 1, "ts": "2024-05-31 23:55:00"}, {"line": 2, "ts": 1717199705},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("member", "error"),
    [
        ('"id": [1]', "'id' is [1]; expected a text or a number"),
        ('"ts": {}', "'ts' is {}; expected a text or a number"),
        ('"ts": NaN', "'ts' is nan; expected a finite number"),
        ('"id": 1e999', "'id' is inf; expected a finite number"),
        (f'"id": "{"x" * 255}"', "'id' has 257 characters; expected at most 256 in JSON"),
    ],
)
def test_what_is_neither_a_text_nor_a_number_is_refused(member: str, error: str) -> None:
    found = run(PAIR, f'{{{member}, "a": 1, "b": 2}}', "1,2")
    assert found[0] == {"line": 1, "error": error}
    assert found[1]["probabilities"] == run(PAIR, "1,2")[0]["probabilities"]


def served(spec: rt.ModelSpec, message: str) -> dict[str, Any]:
    (work,) = together.answer([(Stream("s", session(spec)), [message.encode()])], "json")
    assert isinstance(work, Work)
    (answer,) = work.answers
    found: dict[str, Any] = json.loads(answer)
    return found


def test_a_channel_of_that_name_is_a_channel_in_both() -> None:
    """Also if its value could not be repeated."""
    for text in ('{"id": 1, "b": 2, "ts": 3}', '{"id": null, "b": 2, "ts": 3}'):
        (found,) = run(NAMED, text)
        assert found.pop("line") == 1
        assert found == served(NAMED, text)
        assert "id" not in found
        assert found["ts"] == 3


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([1])


@PROPERTY
@given(
    st.sampled_from([PAIR, NAMED]),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("id", "ts", "a", "b"), st.integers(-3, 3) | VALUES)
    ),
)
def test_run_and_serve_say_the_same(spec: rt.ModelSpec, value: dict[str, Any]) -> None:
    (found,) = run(spec, value)
    assert found.pop("line") == 1
    assert found == served(spec, json.dumps(value))
