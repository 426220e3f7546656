"""Lines of text to answers: CSV and JSON lines, gaps, resets, and every kind of bad line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BackendError, ConfigError, Session, load
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.model.spec import describe
from helpers.specs import changed, make_spec
from helpers.weights import random_weights


@pytest.fixture
def session(classify_file: Path) -> Session:
    return load(classify_file).session("numpy")


@pytest.fixture
def gappy(forecast_file: Path) -> Session:
    return load(forecast_file).session("numpy")


def expected(session: Session, rows: list[list[float]]) -> list[dict[str, Any]]:
    """What a session of its own answers, step by step."""
    fresh = Session(session.spec, NumpyBackend(session.spec, random_weights(session.spec)))
    return [describe(fresh.spec, fresh.step(row)) for row in rows]


def stream(session: Session, text: str, reset_every: int = 0) -> list[dict[str, Any]]:
    found = list(answers(session, text.splitlines(keepends=True), reset_every))
    assert found == json.loads(json.dumps(found, allow_nan=False))
    return found


ROWS = [[1.0, 2.0, 3.0], [-1.0, 0.5, 2.5e-1], [0.0, 0.0, 1e3]]
BODY = "1,2,3\n-1,0.5,2.5e-1\n0,0,1e3\n"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (BODY, 1),
        ("ch0,ch1,ch2\n" + BODY, 2),
        ("\ufeffch0,ch1,ch2\r\n" + BODY.replace("\n", "\r\n"), 2),
        ("\n  \nch0, ch1 ,ch2\n" + BODY, 4),
        ('"ch0","ch1","ch2"\n"1","2","3"\n"-1","0.5","0.25"\n0,0,1000\n', 2),
        ("ch2,time,ch0,ch1\n3,t0,1,2\n0.25,t1,-1,0.5\n1000,t2,0,0\n", 2),
        ("x,ch0,x,ch1,ch2\n9,1,9,2,3\n9,-1,9,0.5,0.25\n9,0,9,0,1000\n", 2),
        ("[1, 2, 3]\n[-1, 0.5, 0.25]\n[0, 0, 1e3]\n", 1),
        ('{"ch1": 2, "ch0": 1, "ch2": 3, "more": "x"}\n[-1, 0.5, 0.25]\n0,0,1000\n', 1),
        (" 1 , 2 , 3 \n\t[-1, 0.5, 0.25]\n0,0,1e3", 1),
    ],
    ids=["bare", "header", "BOM and CRLF", "blank lines", "quoted", "other order",
         "another column twice", "lists", "mixed", "spaces"],
)  # fmt: skip
def test_forms(session: Session, text: str, first: int) -> None:
    found = stream(session, text)
    assert [a.pop("line") for a in found] == list(range(first, first + 3))
    assert found == expected(session, ROWS)


def test_channels_named_like_numbers() -> None:
    spec = make_spec(channels=["0", "1"])
    named = Session(spec, NumpyBackend(spec, random_weights(spec)))
    assert [a["line"] for a in stream(named, "1,0\n5,7\n")] == [2]
    named.reset()
    assert (
        stream(named, '{"1": 5, "0": 7}')[0]["label"]
        == describe(spec, Session(spec, NumpyBackend(spec, random_weights(spec))).step([7, 5]))[
            "label"
        ]
    )


def test_half_a_line_with_such_a_name() -> None:
    spec = make_spec(channels=["0", "1"])
    named = Session(spec, NumpyBackend(spec, random_weights(spec)))
    assert ["error" in a for a in stream(named, "E-3,0\nx,0,1\nx,5,7\n")] == [True, False]


def test_gaps(gappy: Session) -> None:
    rows = [[np.nan, 1.0, 2.0], [3.0, np.nan, np.nan], [np.nan] * 3]
    texts = [
        "ch0,ch1,ch2\n,1,2\n3,NaN,null\nNA,none, \n",
        "[null, 1, 2]\n[3, NaN, null]\n[null, null, null]\n",
        '{"ch0": null, "ch1": 1, "ch2": 2}\n{"ch0": 3, "ch1": null, "ch2": null}\n'
        '{"ch0": null, "ch1": null, "ch2": null}\n',
        "nan,1,2\n3,,\n,,\n",
    ]
    for text in texts:
        gappy.reset()
        found = stream(gappy, text)
        for answer in found:
            answer.pop("line")
        assert found == expected(gappy, rows), text


def test_a_gap_that_the_model_refuses_is_an_error_line(session: Session) -> None:
    found = stream(session, "1,2,3\n1,,3\n-1,0.5,0.25\n")
    assert "missing = 'refuse'" in found[1]["error"]
    assert {k: v for k, v in found[2].items() if k != "line"} == expected(session, ROWS[:2])[1]


def test_reset_lines(session: Session) -> None:
    found = stream(session, BODY + '{"reset": true}\n' + BODY)
    assert found[3] == {"line": 4, "reset": True}
    for answer in found:
        answer.pop("line")
    assert found[:3] == found[4:]


def test_reset_line_before_a_header_does_not_eat_it(session: Session) -> None:
    found = stream(session, '{"reset": true}\nch2,ch1,ch0\n3,2,1\n')
    assert "error" not in found[-1]
    assert {k: v for k, v in found[-1].items() if k != "line"} == expected(session, ROWS[:1])[0]


@pytest.mark.parametrize("value", ["false", "1", '"true"', "null"])
def test_other_resets_are_no_resets(session: Session, value: str) -> None:
    assert "channels" in stream(session, f'{{"reset": {value}}}\n')[0]["error"]


def test_reset_every(session: Session) -> None:
    found = stream(session, BODY + BODY + BODY, reset_every=3)
    for answer in found:
        answer.pop("line")
    assert found[:3] == found[3:6] == found[6:]


def test_reset_every_counts_samples_not_lines(session: Session) -> None:
    found = [
        a
        for a in stream(
            session, "1,2,3\nx,y,z\n-1,.5,.25\n\n[1]\n0,0,1000\nx,x,x\n" + BODY, reset_every=3
        )
        if "error" not in a
    ]
    for answer in found:
        answer.pop("line")
    assert found[:3] == found[3:]


BAD = {
    "too few": ("1,2", "2 values, expected 3 (ch0, ch1, ch2)"),
    "too many": ("1,2,3,4", "4 values, expected 3"),
    "a value too many": ("1,2,3,,4", "5 values"),
    "text": ("1,two,3", "channel 'ch1' is 'two'; expected a number"),
    "semicolons": ("1;2;3", "1 value"),
    "inf": ("1,inf,3", "channel 'ch1' is inf"),
    "beyond float": ("1,2,1e400", "channel 'ch2' is inf"),
    "huge": ("1,2,-1e300", "channel 'ch2' is -1e+300"),
    "quote left open": ('1,"2,3', "a quoted cell is not closed"),
    "long field": ("1,2," + "9" * 200_000, "channel 'ch2' is inf"),
    "short list": ("[1, 2]", "2 values, expected 3"),
    "long list": ("[1, 2, 3, 4]", "4 values"),
    "empty list": ("[]", "0 values"),
    "nested list": ("[[1], 2, 3]", "channel 'ch0' is [1]; expected a number"),
    "text in a list": ('[1, "2", 3]', "channel 'ch1' is '2'; expected a number"),
    "true in a list": ("[1, true, 3]", "channel 'ch1' is True; expected a number"),
    "Infinity in a list": ("[1, Infinity, 3]", "channel 'ch1' is inf"),
    "a whole number beyond float": (f"[1, 2, 1{'0' * 400}]", "too large"),
    "more digits than Python reads": (f"[1, 2, 1{'0' * 5000}]", "not valid JSON"),
    "broken JSON": ("[1, 2, 3", "not valid JSON"),
    "two values on a line": ("[1,2,3] [4,5,6]", "not valid JSON"),
    "too deep": ("[" * 100_000, "not valid JSON"),
    "empty object": ("{}", "channels ['ch0', 'ch1', 'ch2'] are missing"),
    "absent channel": ('{"ch0": 1, "ch2": 3}', "channels ['ch1'] are missing"),
    "control characters": ("\x00\x01\x02", "expected"),
}


@pytest.mark.parametrize(("line", "message"), BAD.values(), ids=BAD)
def test_a_bad_line_is_an_error_line_and_the_stream_goes_on(
    session: Session, line: str, message: str
) -> None:
    found = stream(session, f"1,2,3\n{line}\n-1,0.5,0.25\n")
    assert [a["line"] for a in found] == [1, 2, 3]
    assert message in found[1]["error"]
    assert set(found[1]) == {"line", "error"}
    assert len(found[1]["error"]) < 400
    assert {k: v for k, v in found[2].items() if k != "line"} == expected(session, ROWS[:2])[1]


def test_a_short_row_below_a_header(session: Session) -> None:
    found = stream(session, "time,ch0,ch1,ch2\n0,1,2\n1,1,2,3\n")
    assert found[0] == {"line": 2, "error": "3 values, expected 4 as in the header"}
    assert "label" in found[1]


FIRST = {
    "half a line": (
        "E-3,0.1",
        "2 values, expected 3 (ch0, ch1, ch2); nor is it a header with the channels' names",
    ),
    "half a line of the right length": (
        "E-3,0.1,2",
        "channel 'ch0' is 'E-3'; expected a number; nor is it a header",
    ),
    "boot message": ("MPU6050 ready", "1 value, expected 3 (ch0, ch1, ch2); nor is it a header"),
    "comment": ("# x, y, z", "channel 'ch0' is '# x'; expected a number; nor is it a header"),
    "other names": (
        "x,y,z",
        "channel 'ch0' is 'x'; expected a number; nor is it a header with the channels' names",
    ),
    "half a line of numbers": ("1,2", "2 values, expected 3 (ch0, ch1, ch2)"),
    "broken bytes": ("\ufffd" * 50_000, "1 value, expected 3"),
    "half a JSON line": ('1, "ch2": 3}', "a quoted cell is not closed"),
}


@pytest.mark.parametrize(("line", "message"), FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("header", ["", "ch0,ch1,ch2\n"], ids=["bare", "header"])
def test_the_first_line_may_be_garbage(
    session: Session, line: str, message: str, header: str
) -> None:
    error, *found = stream(session, f"{line}\n{header}{BODY}")
    assert set(error) == {"line", "error"}
    assert error["error"].startswith(message)
    assert len(error["error"]) < 400
    assert [{k: v for k, v in answer.items() if k != "line"} for answer in found] == expected(
        session, ROWS
    )


@pytest.mark.parametrize("before", ["", "MPU6050 ready\n1,2\n\n", '{"reset": true}\n'])
def test_a_header_without_a_channel(session: Session, before: str) -> None:
    with pytest.raises(
        ConfigError, match=r"header lacks the channels \['ch2'\]; it has \['ch0', 'ch1', 'other'\]"
    ):
        stream(session, before + "ch0,ch1,other\n1,2,3\n")


def test_a_header_with_the_time_alone() -> None:
    spec = changed(
        make_spec(task="forecast", channels=["a", "b", "dt"]), dt="dt", dt_unit=60.0, time="when"
    )
    timed = Session(spec, NumpyBackend(spec, random_weights(spec)))
    with pytest.raises(
        ConfigError, match=r"header lacks the channels \['a', 'b'\]; it has \['when', 'A', 'B'\]"
    ):
        stream(timed, "when,A,B\n1,2,3\n")


BEFORE = ["1,2,3\n", "ch0,ch1,ch2\n", "ch0,ch1,ch2\n1,2,3\n", "[1, 2, 3]\n"]


@pytest.mark.parametrize("late", ["ch0,ch1", "ch0,ch1,ch1,ch2", "ch0"])
@pytest.mark.parametrize("before", BEFORE)
def test_a_late_header_without_all_channels_is_an_error_line(
    session: Session, before: str, late: str
) -> None:
    found = stream(session, f"{before}{late}\n-1,0.5,0.25\n")
    count = before.count("\n") - before.count("ch0")
    assert ["error" in answer for answer in found] == [False] * count + [True, False]
    rows = [ROWS[0]] * count + [ROWS[1]]
    assert {k: v for k, v in found[-1].items() if k != "line"} == expected(session, rows)[-1]


@pytest.mark.parametrize("before", BEFORE)
def test_a_board_that_starts_again(session: Session, before: str) -> None:
    found = stream(session, f"{before}E-3\nch0,ch1,ch2\n-1,0.5,0.25\n")
    count = before.count("\n") - before.count("ch0")
    assert ["error" in answer for answer in found] == [False] * count + [True, False]
    rows = [ROWS[0]] * count + [ROWS[1]]
    assert {k: v for k, v in found[-1].items() if k != "line"} == expected(session, rows)[-1]


@pytest.mark.parametrize("before", BEFORE)
def test_a_late_header_with_other_columns_holds_from_there_on(
    session: Session, before: str
) -> None:
    found = stream(session, f"{before}ch2,t,ch1,ch0\n0.25,0,0.5,-1\n")
    assert found[-2] == {
        "line": before.count("\n") + 1,
        "error": "a header with other columns than before; from here on they are "
        "['ch2', 't', 'ch1', 'ch0']",
    }
    rows = [ROWS[0]] * (len(found) - 2) + [ROWS[1]]
    assert {k: v for k, v in found[-1].items() if k != "line"} == expected(session, rows)[-1]


@pytest.mark.parametrize("before", ["", "E-3\n"])
def test_a_header_with_a_channel_twice(session: Session, before: str) -> None:
    with pytest.raises(ConfigError, match="header has 'ch1' 2 times; expected each channel once"):
        stream(session, before + "ch0,ch1,ch1,ch2\n1,9,2,3\n")


SEPARATED = [
    ("1;2;3", "; between semicolons it has 3: separate them by commas, or see --separator ';'"),
    ("1 ; ; 3", "; between semicolons it has 3: separate them by commas, or see --separator ';'"),
    ("1\t2\t3", "; between tabs it has 3: separate them by commas, or see --separator '\\t'"),
    ("1  2 3", "; between spaces it has 3: separate them by commas, or see --separator ' '"),
    (
        "0,1;0,2;3",
        "; between semicolons it has 3: separate them by commas, or see --separator ';'",
    ),  # decimal commas
    ("1;2", ""),
    ("ch0;ch1;ch2", ""),  # a header no more
    ("sensor went away", ""),
]


@pytest.mark.parametrize("columns", ["", "ch0,ch1,ch2\n"], ids=["bare", "header"])
@pytest.mark.parametrize(("line", "advice"), SEPARATED)
def test_another_separator_is_named(session: Session, columns: str, line: str, advice: str) -> None:
    error = stream(session, f"{columns}1,2,3\n{line}\n")[-1]["error"]
    assert "expected" in error
    assert "header with" not in error
    assert error.endswith(advice) if advice else "separate" not in error


def test_a_header_under_another_separator(session: Session) -> None:
    (answer,) = stream(session, "time;ch2;ch1;ch0\n")
    assert (
        answer["error"]
        == "1 value, expected 3 (ch0, ch1, ch2); between semicolons it has 4: separate them by "
        "commas, or see --separator ';'"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "ch0,ch1,ch2\n"])
def test_nothing_in_nothing_out(session: Session, text: str) -> None:
    assert stream(session, text) == []


def test_answers_that_are_not_finite_stop_the_stream() -> None:
    # NaN from a device stays in its state, and an answer line would not even be JSON.
    class Overflowing(NumpyBackend):
        def step(self, features: Any) -> Any:
            return super().step(features) * np.float32("nan")

    spec = make_spec()
    with pytest.raises(BackendError, match="line 1 with values that are not finite"):
        stream(Session(spec, Overflowing(spec, random_weights(spec))), "1,2,3\n")


def test_forecast_answers(gappy: Session) -> None:
    (answer,) = stream(gappy, "1,2,3\n")
    assert set(answer["forecast"]) == {"ch0", "ch1"}
    assert all(len(values) == 3 for values in answer["forecast"].values())


def test_answers_come_one_by_one(session: Session) -> None:
    taken = []

    def lines() -> Any:
        for line in BODY.splitlines():
            taken.append(line)
            yield line

    for n, answer in enumerate(answers(session, lines()), start=1):
        assert len(taken) == n
        assert answer["line"] == n
