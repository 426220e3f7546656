"""Messages of several streams that are answered together: each as if it had come alone."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import BackendError
from edge_lstm_runtime.serve import core as serving
from edge_lstm_runtime.serve.core import Core, Message, Options
from edge_lstm_runtime.serve.models import serve_bundle
from helpers.bundles import make_bundle
from helpers.c_folder import timed_detector_bundle
from helpers.specs import make_spec

STREAMS = "abcdef"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory, served_file):
    """By name: one with ranges, one that fills gaps, and a detector with times."""
    folder = tmp_path_factory.mktemp("together")
    make_bundle(folder / "filled.edge", make_spec(channels=2, task="forecast", missing="ffill"))
    return {
        "ranged": served_file,
        "filled": folder / "filled.edge",
        "timed": timed_detector_bundle(folder / "timed.edge"),
    }


def core_of(path, backend):
    model = rt.load(path)
    return Core({"m": serve_bundle(model, path, backend, None)}, Options())


class Sender:
    """Messages from a seed: good ones of every form, bad ones, resets."""

    def __init__(self, spec, seed):
        self.random = np.random.default_rng(seed)
        self.inputs = spec.inputs
        self.number = 0

    def pick(self, *choices):
        return choices[int(self.random.integers(len(choices)))]

    def row(self):
        scale = self.pick(1.0, 1.0, 1.0, 30.0)  # sometimes out of range
        row = (20 * abs(self.random.normal(0, scale, self.inputs.size))).round(3).tolist()
        if self.random.random() < 0.1:
            row[int(self.random.integers(len(row)))] = None
        return row

    def named(self):
        """One sample as an object, perhaps with an id or a time."""
        value = dict(zip(self.inputs.names, self.row(), strict=True))
        if self.inputs.time_column and self.random.random() < 0.5:
            del value[self.inputs.elapsed]
            value[self.inputs.time_column] = self.number * 10 + int(self.random.integers(99))
        return {"id": self.number, **value} if self.random.random() < 0.7 else value

    def message(self):
        """(form, bytes)"""
        self.number += 1
        if self.random.random() < 0.2:
            rows = [[np.nan if v is None else v for v in self.row()] for _ in range(3)]
            return "float32", np.array(rows, "<f4").tobytes()[: self.pick(None, None, None, 7)]
        value = self.pick(
            lambda: self.row(),
            lambda: self.row(),
            lambda: self.named(),
            lambda: {"id": f"x{self.number}", "samples": [self.row() for _ in range(4)]},
            lambda: [self.named(), {"ts": 3, "nothing": 1}, self.row(), [1]],
            lambda: self.pick({"reset": True}, [], [[]], "x", [1e300] * self.inputs.size),
        )()
        return "json", json.dumps(value).encode()


def answer(core, messages):
    """The replies by the message's place. messages: (stream, form, bytes)"""
    told = {}
    core._answer(
        [
            Message("m", stream, data, form, lambda reply, k=k: told.__setitem__(k, reply))
            for k, (stream, form, data) in enumerate(messages)
        ]
    )
    return [told[k] for k in range(len(messages))]


@pytest.mark.parametrize("name", ["ranged", "filled", "timed"])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_answers_states_and_counts_are_those_of_one_by_one(name, backend, bundles, monkeypatch):
    together = core_of(bundles[name], backend)
    alone = core_of(bundles[name], backend)
    sender = Sender(together.models["m"].served.model.spec, 5)
    replies = 0
    for _ in range(40):
        monkeypatch.setattr(serving, "TOGETHER", sender.pick(1, 3, 64))
        batch = [
            (sender.pick(*STREAMS), *sender.message()) for _ in range(sender.random.integers(1, 40))
        ]
        found = answer(together, batch)
        groups = defaultdict(list)  # the order in which a batch is answered
        for k, (stream, form, _) in enumerate(batch):
            groups.setdefault(form, defaultdict(list))[stream].append(k)
        for streams in groups.values():
            for places in streams.values():
                for k in places:
                    assert [found[k]] == answer(alone, [batch[k]]), batch[k]
                    replies += 1
    assert replies > 400
    one = together.models["m"]
    other = alone.models["m"]
    assert set(one.streams) == set(other.streams) == set(STREAMS)
    for stream in one.streams:
        for (key, a), (also, b) in zip(
            one.streams[stream].state.items(), other.streams[stream].state.items(), strict=True
        ):
            assert key == also
            np.testing.assert_array_equal(a, b)
    counts = ("samples", "refused", "answers", "anomalies", "far", "score")
    for attribute in counts:
        assert getattr(one.counts, attribute) == getattr(other.counts, attribute) or (
            attribute == "score" and np.isnan(one.counts.score)
        )
    assert one.counts.samples > 300
    assert one.counts.refused["sample"] > 20
    assert one.counts.refused["message"] > 20
    assert one.counts.far_share == pytest.approx(other.counts.far_share, rel=1e-9)
    for a, b in zip(one.counts.drift.told(), other.counts.drift.told(), strict=True):
        assert a[0] == b[0]
        assert a[1:] == pytest.approx(b[1:], rel=1e-6, abs=1e-9)


def test_a_stream_that_fails_takes_no_other_with_it(served_file, xs, monkeypatch):
    """Of three streams, one's backend can't be reset, and one's answers are not finite."""
    core = core_of(served_file, "native")
    alone = core_of(served_file, "native")
    message = json.dumps(xs[0].tolist()).encode()
    batch = [(stream, "json", message) for stream in "abc"]
    assert answer(core, batch) == [answer(alone, [one])[0] for one in batch]
    streams = core.models["m"].streams

    def broken():
        raise BackendError("the device is gone")

    def infinite(rows):
        return np.full((len(rows), 4), np.inf, np.float32)

    monkeypatch.setattr(streams["a"].session, "steps", infinite)
    monkeypatch.setattr(streams["a"].session, "reset", broken)
    monkeypatch.setattr(streams["c"].session, "steps", infinite)
    a, b, c = answer(core, batch)
    assert json.loads(a) == {"error": "the device is gone"}
    assert b == answer(alone, [batch[1]])[0]
    assert json.loads(c) == {"error": "the backend's answer is not finite; the state is reset"}
    assert streams["c"].samples == 1
    assert core.models["m"].counts.refused["backend"] == 2
