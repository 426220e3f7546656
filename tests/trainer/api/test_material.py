"""What `fit` writes is what its reader gives back: every value, label and length."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_lstm.api.keys import keyed, nested
from edge_lstm.api.material import of_recordings
from edge_lstm.config.load import config_of
from edge_lstm.data.in_memory import given as recordings_of
from edge_lstm.data.recordings import Recording

FINITE = {"allow_nan": False, "allow_infinity": False}
NAMES = st.text("abcé 1.,\"'", min_size=1, max_size=6).filter(lambda name: bool(name.strip()))


def read_back(data: Any, y: Any, **asked: Any) -> list[Recording]:
    """The recordings that the source of a `fit` reads."""
    material = of_recordings(recordings_of(data, y), None, asked)
    keys = keyed(
        {"hidden_size": 2, "epochs": 1} | material.settings, material.source, material.task
    )
    keys |= {("data", "source"): material.source, ("model", "task"): material.task}
    with tempfile.TemporaryDirectory() as name:
        material.write(Path(name))
        config = config_of(nested(keys), name)
        found: list[Recording] = config.data.read(config.asked)
    return found


@st.composite
def listed(draw: st.DrawFn) -> list[Any]:
    """Two to five recordings (T, C) of a dtype."""
    channels = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from([np.float64, np.float32, np.int16, np.bool_]))
    elements = FINITE if np.issubdtype(dtype, np.floating) else None
    kind = {"elements": elements} if elements else {}
    return [
        draw(arrays.arrays(dtype, (draw(st.integers(1, 5)), channels), **kind))
        for _ in range(draw(st.integers(2, 5)))
    ]


@settings(max_examples=25, deadline=None)
@given(listed(), st.data())
def test_classes_of_recordings(xs: list[Any], data: st.DataObject) -> None:
    y = [data.draw(NAMES) for _ in xs]
    found = read_back(xs, y)
    assert len(found) == len(xs)
    for x, label, recording in zip(xs, y, found, strict=True):
        np.testing.assert_array_equal(recording.x, x.astype(np.float64))
        assert recording.labels is not None
        assert recording.labels.tolist() == [label.strip()] * len(x)


@settings(max_examples=25, deadline=None)
@given(listed(), st.data())
def test_classes_of_steps(xs: list[Any], data: st.DataObject) -> None:
    blank = st.one_of(NAMES, st.none()) if data.draw(st.booleans()) else NAMES
    y = [np.array([data.draw(blank) for _ in x], object) for x in xs]
    found = read_back(xs, y)
    for x, labels, recording in zip(xs, y, found, strict=True):
        np.testing.assert_array_equal(recording.x, x.astype(np.float64))
        assert recording.labels is not None
        expected = ["" if label is None else label.strip() for label in labels]
        assert recording.labels.tolist() == expected


@settings(max_examples=25, deadline=None)
@given(listed(), st.data())
def test_numbers_of_steps(xs: list[Any], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 2))
    y = [data.draw(arrays.arrays(np.float64, (len(x), count), elements=FINITE)) for x in xs]
    found = read_back(xs, y)
    for x, answer, recording in zip(xs, y, found, strict=True):
        np.testing.assert_array_equal(recording.x, x.astype(np.float64))
        np.testing.assert_array_equal(recording.y, answer)


@settings(max_examples=15, deadline=None)
@given(listed(), st.data())
def test_a_number_of_a_recording_is_at_its_last_step(xs: list[Any], data: st.DataObject) -> None:
    y = [data.draw(st.floats(**FINITE)) for _ in xs]
    for x, answer, recording in zip(xs, y, read_back(xs, np.array(y)), strict=True):
        assert recording.y is not None
        expected = [[np.nan]] * (len(x) - 1) + [[answer]]
        np.testing.assert_array_equal(recording.y, expected)


def test_times_and_names_come_back() -> None:
    xs = [np.arange(6.0).reshape(3, 2), np.arange(4.0).reshape(2, 2)]
    given_ = [
        Recording(name, name, x, y=x[:, :1], time=10 + np.arange(len(x)) / 2)
        for name, x in zip(("b", "a"), xs, strict=True)
    ]
    found = read_back(given_, None, channels=["p", "q"], targets=("r",))
    assert [recording.x.tolist() for recording in found] == [x.tolist() for x in xs]


@pytest.mark.parametrize(
    ("label", "name"), [(1, "1"), (1.0, "1.0"), (True, "True"), (np.int64(3), "3"), (" a ", "a")]
)
def test_the_names_of_classes(label: Any, name: str) -> None:
    found = read_back([np.zeros((2, 1))] * 2, np.array([label, "z"], object))
    assert found[0].labels is not None
    assert found[0].labels.tolist() == [name, name]
