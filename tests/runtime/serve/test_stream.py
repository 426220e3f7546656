"""A stream's answers are those of a session that is fed by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import BackendError, stored
from edge_lstm_runtime.serve import together
from edge_lstm_runtime.serve.drift import Drift
from edge_lstm_runtime.serve.stream import Stream
from helpers.bundles import make_bundle
from helpers.specs import make_spec


def encoded(*values):
    return [json.dumps(value).encode() for value in values]


def answered(stream, messages, form):
    (work,) = together.answer([(stream, messages)], form)
    return work


@pytest.fixture
def stream(served_file):
    with rt.load(served_file).session("native") as session:
        yield Stream("s", session)


@pytest.fixture
def model(served_file):
    return rt.load(served_file)


def by_hand(model, rows):
    with model.session("numpy") as s:
        return [rt.describe(model.spec, s.step(x)) for x in rows]


def assert_same(told, expected):
    assert told["label"] == expected["label"]
    for name, share in expected["probabilities"].items():
        assert told["probabilities"][name] == pytest.approx(share, abs=2e-5)


def test_every_form_gives_the_same_answers_in_the_same_state(stream, model, xs):
    """12 samples in five messages, between which others are refused."""
    a, b = model.spec.inputs.names
    messages = encoded(
        xs[0].tolist(),
        {a: xs[1, 0], b: xs[1, 1], "id": 1},
        {"nothing": 1},
        xs[2:6].tolist(),
        [[1, 2, 3]],
        {"id": "m", "samples": [*xs[6:9].tolist(), [None, 1], *xs[9:11].tolist()]},
        [{a: xs[11, 0], b: xs[11, 1], "ts": 5}, {"a": 0}],
    )
    work = answered(stream, messages, "json")
    told = [json.loads(answer) for answer in work.answers]
    expected = by_hand(model, xs[:12])
    assert_same(told[0], expected[0])
    assert_same(told[1], expected[1])
    assert told[1]["id"] == 1
    assert "are missing" in told[2]["error"]
    for answer, right in zip(told[3]["answers"], expected[2:6], strict=True):
        assert_same(answer, right)
    assert "3 values, expected 2" in told[4]["answers"][0]["error"]
    assert told[5]["id"] == "m"
    answers = told[5]["answers"]
    assert "NaN" in answers[3]["error"]
    for answer, right in zip([*answers[:3], *answers[4:]], expected[6:11], strict=True):
        assert_same(answer, right)
    assert_same(told[6]["answers"][0], expected[11])
    assert told[6]["answers"][0]["ts"] == 5
    assert "error" in told[6]["answers"][1]
    assert stream.samples == 12 == len(work.xs)
    assert work.refused == ["sample"] * 4
    np.testing.assert_array_equal(work.xs, xs[:12])


def test_float32_answers_are_the_outputs_and_nan_for_a_refused_sample(stream, model, xs):
    rows = xs[:5].astype("<f4")
    rows[2] = np.nan
    work = answered(stream, [rows[:3].tobytes(), rows[3:].tobytes()], "float32")
    found = np.frombuffer(b"".join(work.answers), "<f4").reshape(5, 4)
    with model.session("numpy") as s:
        expected = s.run(rows[[0, 1, 3, 4]].astype(float))
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(found[[0, 1, 3, 4]], expected, atol=1e-5)


def test_out_of_range_is_flagged_in_both_ways(stream):
    """temp was 10 to 30 in training: beyond -10 and 50 it is far outside."""
    plain = answered(stream, encoded([[20, 0.5], [51, 0.5], [51, -7]]), "json")
    answers = json.loads(plain.answers[0])["answers"]
    assert ["out_of_range" in a for a in answers] == [False, True, True]
    assert answers[2]["out_of_range"] == ["temp", "load"]
    one = answered(stream, encoded({"temp": -10.5, "load": 0}), "json")
    assert json.loads(one.answers[0])["out_of_range"] == ["temp"]


def test_a_reset_and_the_state_of_a_restart(stream, model, xs, tmp_path):
    answered(stream, encoded(xs[:50].tolist(), {"reset": True, "id": 3}), "json")
    answered(stream, encoded(xs[50:100].tolist()), "json")
    fingerprint = model.bundle.fingerprint
    stored.save(tmp_path / "a.state", fingerprint, {"s": stream.state, "ü/+": stream.state})
    states = stored.restore(tmp_path / "a.state", fingerprint)
    assert list(states) == ["s", "ü/+"]
    with model.session("native") as session:
        again = Stream("s", session)
        again.state = states["s"]
        assert again.samples == 100
        told = json.loads(answered(again, encoded(xs[100].tolist()), "json").answers[0])
    assert_same(told, by_hand(model, xs[50:101])[-1])


def test_damaged_and_foreign_states_are_refused(stream, model, tmp_path):
    path = tmp_path / "a.state"
    assert stored.restore(path, model.bundle.fingerprint) == {}
    stored.save(path, model.bundle.fingerprint, {"s": stream.state})
    assert stored.restore(path, np.zeros(16, np.uint8)) is None
    data = path.read_bytes()
    for at in range(0, len(data), 97):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(BackendError, match=r"damaged|another model"):
            stored.restore(path, model.bundle.fingerprint)
    for size in (0, 10, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(BackendError, match="damaged"):
            stored.restore(path, model.bundle.fingerprint)


def test_drift_is_the_moving_mean_beside_the_trainings(model):
    """Written out: mean 20, deviation 5. 5,000 samples around 30 with deviation 10."""
    drift = Drift(model.spec.inputs)
    assert not list(drift.told())
    xs = np.random.default_rng(0).normal((30, 0.5), (10, 0.25), (5000, 2))
    for part in np.array_split(xs, 31):
        drift.take(part)
    (temp, shift, spread), (load, still, same) = drift.told()
    assert (temp, load) == ("temp", "load")
    assert shift == pytest.approx(2.0, abs=0.2)
    assert spread == pytest.approx(2.0, abs=0.2)
    assert still == pytest.approx(0.0, abs=0.1)
    assert same == pytest.approx(1.0, abs=0.1)


def test_a_session_that_fills_gaps(tmp_path):
    make_bundle(tmp_path / "f.edge", make_spec(channels=2, missing="ffill"))
    model = rt.load(tmp_path / "f.edge")
    with model.session("native") as session:
        work = answered(Stream("s", session), encoded([[1, 2], [None, 3]]), "json")
    told = json.loads(work.answers[0])["answers"][1]
    assert_same(told, by_hand(model, [[1, 2], [1, 3]])[1])


def test_a_signaling_nan_is_refused_like_any_other(stream):
    """The bits 7f800001: NumPy warns when it converts them, and a warning is an error here."""
    work = answered(stream, [bytes.fromhex("0100807f") + np.float32(0.5).tobytes()], "float32")
    assert work.refused == ["sample"]
    assert np.isnan(np.frombuffer(work.answers[0], "<f4")).all()
