"""Frames of PCM as a net's samples: cut in any pieces, in a specification, in a session."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.inputs.frames import Frames
from helpers.generated import PROPERTY
from helpers.sounds import LOG_MEL, frames_spec, sound_spec
from helpers.specs import make_spec
from helpers.weights import random_weights

PCM = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)


def open_session(length: int, outputs: int, hop: int) -> rt.Session:
    spec = frames_spec(length, outputs, hop)
    return rt.Session(spec, NumpyBackend(spec, random_weights(spec)))


@given(
    st.integers(1, 40), st.floats(0, 1), st.lists(st.integers(0, 120), max_size=8), st.integers(0)
)
@PROPERTY
def test_frames_of_any_pieces(length: int, share: float, cuts: list[int], end: int) -> None:
    hop = max(1, round(share * length))
    pcm = PCM[: sum(cuts) + end % 100]
    stream = Frames(8000, length, hop).stream()
    found = np.concatenate([stream.push(p) for p in np.split(pcm, np.cumsum(cuts))])
    starts = range(0, len(pcm) - length + 1, hop)
    expected = [[s / 32768 for s in pcm[k : k + length].tolist()] for k in starts]
    assert found.tolist() == expected
    assert (stream.pending * 32768).tolist() == pcm[len(expected) * hop :].tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 4, 2), "sample_rate is 0, expected a whole number from 1 to 1000000"),
        ((8000.0, 4, 2), "sample_rate is 8000.0, expected a whole number"),
        ((8000, 0, 1), "frame_length is 0, expected a whole number from 1 to 65536"),
        ((8000, 70000, 1), "frame_length is 70000"),
        ((8000, 4, 5), "hop_length is 5, expected a whole number from 1 to 4"),
        ((8000, 4, 0), "hop_length is 0"),
        ((8000, 4, True), "hop_length is True"),
        ((8000, 4, None), "hop_length is None"),
    ],
)
def test_values_out_of_bounds(values: Any, message: str) -> None:
    with pytest.raises(rt.BundleError, match=f"frames: {message}"):
        Frames(*values)


def test_a_specification_says_it_only_if_it_is_so() -> None:
    spec = frames_spec(4, 2, 2)
    values = json.loads(json.dumps(spec.to_dict()))
    assert values["inputs"]["frames"] == {
        "sample_rate": 8000,
        "frame_length": 4,
        "hop_length": 2,
    }
    assert rt.ModelSpec.from_dict(values) == spec
    for other in (make_spec(), sound_spec(LOG_MEL)):
        assert "frames" not in other.to_dict()["inputs"]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"sample_rate": 8000, "frame_length": 4}, "frames are malformed: .*hop_length"),
        ({"sample_rate": 8000, "frame_length": 4, "hop_length": 2, "n": 1}, "malformed: .*'n'"),
        ({"sample_rate": 8000, "frame_length": 4, "hop_length": 8}, "hop_length is 8"),
        ({"sample_rate": 8000, "frame_length": 3, "hop_length": 2}, "4 channels, and frames of 3"),
        ({"sample_rate": "8000", "frame_length": 4, "hop_length": 2}, "sample_rate is '8000'"),
        ([8000, 4, 2], r"frames is \(8000, 4, 2\)"),
        (8000, "frames is 8000"),
    ],
)
def test_a_specification_that_is_damaged(frames: object, message: str) -> None:
    values = frames_spec(4, 2, 2).to_dict()
    values["inputs"]["frames"] = frames
    with pytest.raises(rt.BundleError, match=message):
        rt.ModelSpec.from_dict(values)


def test_a_front_end_beside_them() -> None:
    inputs = sound_spec(LOG_MEL).inputs
    with pytest.raises(rt.BundleError, match="both front_end and frames"):
        dataclasses.replace(inputs, frames=Frames(8000, 40, 40))  # type: ignore[type-var]


def test_a_session_listens_and_keeps_the_rest_in_its_state() -> None:
    session = open_session(8, 3, 3)
    windows = [PCM[k : k + 8] / 32768 for k in range(0, 93, 3)]
    expected = session.run(windows)
    session.reset()
    first = session.listen(PCM[:50])
    state = session.state
    assert (state["pcm"] * 32768).tolist() == PCM[45:50].tolist()
    other = open_session(8, 3, 3)
    other.state = state
    second = other.listen(PCM[50:100])
    assert (first.shape, second.shape) == ((15, 3), (16, 3))
    assert np.abs(np.concatenate([first, second]) - expected).max() <= 1e-6
    other.reset()
    assert other.state["pcm"].shape == (0,)
    with pytest.raises(rt.BackendError, match="state 'pcm': 8 pending samples"):
        other.state = {**state, "pcm": np.zeros(8)}
