"""What a message may be, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_lstm_runtime import SampleError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.text import TextForm
from edge_lstm_runtime.serve import payload

INPUTS = Channels(("a", "b"), (0.0, 0.0), (1.0, 1.0), text=TextForm(missing=("-999",)))


def read(value: object) -> payload.Request:
    return payload.read(json.dumps(value).encode(), "json", INPUTS)


@pytest.mark.parametrize(
    ("value", "rows", "many"),
    [
        ([1, 2], [[1, 2]], False),
        ([[1, 2], [3, 4.5]], [[1, 2], [3, 4.5]], True),
        ({"samples": [[1, 2]]}, [[1, 2]], True),
        ([[1, -999]], [[1, np.nan]], True),
    ],
)
def test_plain_numbers_become_an_array(value, rows, many):
    request = read(value)
    assert isinstance(request.rows, np.ndarray)
    np.testing.assert_array_equal(request.rows, rows)
    assert request.many is many


@pytest.mark.parametrize(
    "value", [{"a": 1, "b": 2}, [[1, None]], [[1, True]], [[1], [2, 3]], [["1", 2]], [[1, 10**400]]]
)
def test_others_are_looked_at_one_by_one(value):
    assert isinstance(read(value).rows, list)


def test_id_and_ts_are_repeated_as_they_are():
    request = read({"id": 'a"ü', "ts": 17.25, "a": 1, "b": 2})
    assert (
        payload.told(request, ['"label": "x"'])
        == b'{"id": "a\\"\\u00fc", "ts": 17.25, "label": "x"}'
    )
    many = read({"id": None, "samples": [[1, 2], [3, 4]]})
    assert json.loads(payload.told(many, ['"k": 1', '"k": 2'])) == {
        "id": None,
        "answers": [{"k": 1}, {"k": 2}],
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"7", "expected a list or an object"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"samples": 3}', "expected a list of samples"),
        (b'{"id": [1], "a": 1, "b": 2}', "'id' is"),
        (b'{"ts": NaN, "a": 1, "b": 2}', "'ts' is nan; expected a finite number"),
        (b'{"id": "' + b"x" * 300 + b'"}', "302 characters; expected at most 256"),
        (json.dumps([[1, 2]] * 4097).encode(), "4097 samples; expected at most 4096"),
    ],
)
def test_no_samples_at_all(data, message):
    with pytest.raises(SampleError, match=message):
        payload.read(data, "json", INPUTS)


def test_float32():
    data = np.array([[1, 2], [3.5, -999]], "<f4").tobytes()
    request = payload.read(data, "float32", INPUTS)
    np.testing.assert_array_equal(request.rows, [[1, 2], [3.5, np.nan]])
    for size in (0, 4, 12):
        with pytest.raises(SampleError, match=f"{size} bytes; expected a multiple of 8"):
            payload.read(bytes(size), "float32", INPUTS)


@given(st.binary(max_size=60) | st.text('[]{},:1.-e "abtruefalsn', max_size=60).map(str.encode))
@example(bytes(14) + b"\x81\x7f")  # a signaling NaN
def test_any_bytes_are_read_or_refused(data):
    for form in payload.FORMS:
        try:
            request = payload.read(data, form, INPUTS)
            rows = request.rows
            if isinstance(rows, list):
                [payload.one(value, INPUTS) for value in rows]
        except SampleError:
            continue
