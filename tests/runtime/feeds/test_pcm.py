"""Frames of sound answered together: the same lines as one by one, and sound as the answer."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.base import Backend
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.feeds.pcm import Heard, mapped, texts
from edge_lstm_runtime.feeds.sound import answers
from helpers.generated import PROPERTY
from helpers.sounds import LOG_MEL, frames_spec, sound_spec
from helpers.specs import make_spec
from helpers.weights import random_weights

PCM = np.random.default_rng(0).integers(-9000, 9000, 3000).astype(np.int16)


def open_session(spec: rt.ModelSpec, backend: type[Backend] = NumpyBackend) -> rt.Session:
    return rt.Session(spec, backend(spec, random_weights(spec)))  # type: ignore[call-arg]


def pieces(pcm: np.ndarray[Any, Any], seed: int = 1) -> list[np.ndarray[Any, Any]]:
    places = np.random.default_rng(seed).integers(0, len(pcm) + 1, 7)
    return np.split(pcm, np.sort(places))


# --- lines ---


@pytest.mark.parametrize("backend", [NumpyBackend, NativeBackend])
@pytest.mark.parametrize("every", [1, 7, 5000])
@pytest.mark.parametrize(
    "spec", [frames_spec(1, 1), frames_spec(16, 3, 5), sound_spec(LOG_MEL)], ids="abc"
)
def test_lines_are_those_of_single_frames(
    spec: rt.ModelSpec, every: int, backend: type[Backend]
) -> None:
    single = answers(open_session(spec, backend), [PCM], every=every)
    expected = [json.dumps(answer) for answer in single]
    found = "".join(texts(open_session(spec, backend), pieces(PCM), every=every)).splitlines()
    assert found == expected


def test_lines_with_resets() -> None:
    spec = frames_spec(4, 1)
    found = "".join(texts(open_session(spec), [np.tile(PCM[:40], 3)], reset_every=10))
    values = [json.loads(line)["value"]["y0"] for line in found.splitlines()]
    assert len(values) == 30
    assert values[10:20] == values[:10]


class Broken(NumpyBackend):
    """Its fourth answer is not finite."""

    def step(self, features: Any) -> Any:
        self.steps_made = getattr(self, "steps_made", 0) + 1
        answer = super().step(features).copy()
        return answer * np.nan if self.steps_made == 4 else answer

    def run(self, features: Any) -> Any:
        return np.array([self.step(row) for row in features])


def test_an_answer_that_is_not_finite_ends_it_with_its_number() -> None:
    spec = frames_spec(2, 2)
    told: list[str] = []
    found = texts(open_session(spec, Broken), [PCM])
    with pytest.raises(rt.BackendError, match="answered frame 4 with values that are not finite"):
        told.extend(line for text in found for line in text.splitlines())
    assert [json.loads(line)["frame"] for line in told] == [1, 2, 3]
    with pytest.raises(rt.BackendError, match="answered frame 4 with values that are not finite"):
        list(Heard(open_session(spec, Broken)).pieces([PCM]))


# --- sound ---


def by_hand(spec: rt.ModelSpec, pcm: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Float, as long as pcm: the answers to frames, each added where its frame ends."""
    sound = spec.inputs.sound
    assert sound is not None
    length, hop, size = sound.frame_length, sound.hop_length, spec.answer.size
    count = 1 + int(np.ceil((len(pcm) - length) / hop))
    padded = np.zeros((count - 1) * hop + length)
    padded[: len(pcm)] = pcm / 32768
    session = open_session(spec, rt.Reference)  # type: ignore[type-abstract]
    out = np.zeros(len(padded))
    for k in range(count):
        y = session.step(padded[k * hop : k * hop + length])
        for n in range(size):
            out[k * hop + length - size + n] += y[n]
    return out[: len(pcm)]


def heard(spec: rt.ModelSpec, chunks: list[Any], reset_every: int = 0) -> tuple[Any, int]:
    found = list(Heard(open_session(spec)).pieces(chunks, reset_every))
    return np.concatenate([p.pcm for p in found]), sum(p.clipped for p in found)


@given(st.integers(1, 24), st.floats(0, 1), st.booleans(), st.integers(0, 100), st.integers(0))
@PROPERTY
def test_sound_is_as_long_as_the_input_and_in_its_place(
    length: int, share: float, newest: bool, more: int, seed: int
) -> None:
    hop = max(1, round(share * length))
    spec = frames_spec(length, hop if newest else length, hop)
    pcm = PCM[: length + more]
    found, _ = heard(spec, pieces(pcm, seed))
    expected = np.clip(by_hand(spec, pcm) * 32768, -32768, 32767)
    assert len(found) == len(pcm)
    assert np.abs(found - expected).max() <= 0.51 + 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("outputs", "delay"), [(8, 0), (2, 6)])
def test_a_net_that_copies_its_frame(outputs: int, delay: int) -> None:
    """With the window of a sum of 1 nothing is shifted, from the first sample that all frames
    reach."""
    spec = frames_spec(8, outputs, 2)

    class Copy(NumpyBackend):
        def run(self, features: Any) -> Any:
            return features[:, -outputs:] / (outputs // 2)

    found = np.concatenate([p.pcm for p in Heard(open_session(spec, Copy)).pieces([PCM])])
    inside = slice(6, len(PCM) - 6)
    assert np.abs(found[inside].astype(int) - PCM[inside]).max() <= 1
    assert len(found) == len(PCM)
    assert not found[:delay].any()


def test_resets_begin_at_their_frame() -> None:
    spec = frames_spec(4, 4)
    found, _ = heard(spec, pieces(np.tile(PCM[:40], 3)), 10)
    assert found[40:80].tolist() == found[:40].tolist()
    assert found[40:].tolist() != heard(spec, [PCM[:40]] * 3)[0][40:].tolist()


def test_what_is_beyond_full_scale_is_clipped_and_counted() -> None:
    class Loud(NumpyBackend):
        def run(self, features: Any) -> Any:
            return features * 2

    loud = np.array([16384, 16383, -16384, -16385, 0, 32767], np.int16)
    (piece, rest) = Heard(open_session(frames_spec(1, 1), Loud)).pieces([loud])
    assert piece.pcm.tolist() == [32767, 32766, -32768, -32768, 0, 32767]
    assert (piece.clipped, rest.clipped) == (3, 0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (make_spec(), "this model takes no sound"),
        (sound_spec(LOG_MEL), "nets that map sound to sound, and this one reads log-mel of it"),
        (frames_spec(4, 4, bidirectional=True), "this one is both ways"),
        (
            frames_spec(8, 3, 2),
            "reads frames of 8 with a hop of 2, and answers 3 values a frame; expected 8 or 2",
        ),
        (frames_spec(1, 2), "answers 2 values a frame; expected 1"),
    ],
)
def test_nets_that_map_no_sound_to_sound(spec: rt.ModelSpec, message: str) -> None:
    with pytest.raises(rt.ConfigError, match=re.escape(message)):
        mapped(spec)


def test_less_than_a_frame() -> None:
    message = "the sound has 3 samples; expected a frame or more (4 samples)"
    for run in (texts, lambda session, chunks: Heard(session).pieces(chunks)):
        with pytest.raises(rt.DataError, match=re.escape(message)):
            list(run(open_session(frames_spec(4, 4)), [PCM[:3]]))
