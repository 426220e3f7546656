"""Transforms against plain loops: at once, step by step, for several streams, with a reset."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyBackend, NumpyStreams
from edge_lstm_runtime.errors import BackendError, BundleError, SampleError
from edge_lstm_runtime.inputs.channels import Channels, Missing
from edge_lstm_runtime.inputs.transforms import Calendar, Clip, Difference, Distance, Log
from edge_lstm_runtime.model.spec import inputs_from
from edge_lstm_runtime.session import Session, StreamsSession
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.specs import chain
from helpers.weights import random_weights

LOG_UNIT = 3.0
DAY = 86400.0
TRANSFORMS = (
    Clip(("v", "u"), (-1.0, 0.1), (1.0, 1.5)),
    Log(("u",), (LOG_UNIT,)),
    Difference(("u", "v"), (0.05, -0.1), (0.4, 2.0), lag=3),
    Distance(("v",), (0.2,), (0.5,), steps=4),
    Distance(("u", "v"), (0.0, 0.1), (1.0, 0.3), seconds=7200.0, clock="at"),
    Calendar("at", ("hour",), (0, 3600.0), ((1300000000, -18000), (1300100000, -14400))),
)
START = 1300000000.0


def inputs_of(missing: Missing = "ffill") -> Channels:
    return Channels(
        ("u", "at", "v"),
        (0.8, START, 0.25),
        (0.5, 1e5, 0.75),
        missing=missing,
        transforms=TRANSFORMS,
        drop=("at", "v"),
    )


def samples(streams: int, steps: int = 40) -> np.ndarray[Any, Any]:
    """(steps, streams, 3): two channels with gaps, and times that go back once."""
    rng = np.random.default_rng(0)
    u = rng.exponential(5.0, (steps, streams))
    v = rng.normal(size=(steps, streams))
    u[rng.random(u.shape) < 0.2] = np.nan
    v[rng.random(v.shape) < 0.2] = np.nan
    at = START + np.cumsum(rng.uniform(0, 9000, (steps, streams)), axis=0)
    at[10] -= 20000
    return np.stack([u, at, v], axis=-1)


def by_loops(inputs: Channels, xs: np.ndarray[Any, Any]) -> list[list[float]]:
    """Features of one stream from its start, value by value."""
    means = dict(zip(inputs.channels, inputs.mean, strict=True))
    known = dict(means)
    history: list[dict[str, float]] = []
    running: dict[str, float] = {}
    rows = []
    for u, at, v in xs.tolist():
        given = {"u": math.log(1 + u / LOG_UNIT), "v": v}
        gaps = {name: math.isnan(value) for name, value in given.items()}
        filled = {}
        for name, value in given.items():
            if not gaps[name]:
                known[name] = value
            instead = known if inputs.missing == "ffill" else means
            filled[name] = instead[name] if gaps[name] else value
        x = {"u": min(max(filled["u"], 0.1), 1.5), "v": min(max(filled["v"], -1.0), 1.0), "at": at}
        history.append(x)
        row = [(x["u"] - 0.8) / 0.5]
        for name, mean, std in (("u", 0.05, 0.4), ("v", -0.1, 2.0)):
            change = x[name] - history[-4][name] if len(history) > 3 else 0.0
            row.append((change - mean) / std)
        last = [h["v"] for h in history[-4:]]
        row.append((x["v"] - sum(last) / len(last) - 0.2) / 0.5)
        dt = max(at - history[-2]["at"], 0) if len(history) > 1 else 0.0
        for name, mean, std in (("u", 0.0, 1.0), ("v", 0.1, 0.3)):
            before = running.get(name, x[name])
            running[name] = before + (1 - math.exp(-dt / 7200)) * (x[name] - before)
            row.append((x[name] - running[name] - mean) / std)
        for moment in (at, at + 3600):
            local = moment + (-14400 if moment >= 1300100000 else -18000)
            turn = 2 * math.pi * (local % DAY) / DAY
            row += [math.sin(turn), math.cos(turn)]
        if inputs.missing == "mask":
            row += [float(gaps["u"]), 0.0, float(gaps["v"])]
        rows.append(row)
    return rows


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_they_are_those_of_plain_loops(missing: Missing) -> None:
    inputs = inputs_of(missing)
    xs = samples(1)[:, 0]
    found, filled = inputs.features(xs)
    np.testing.assert_allclose(found, by_loops(inputs, xs), rtol=1e-9, atol=1e-9)
    assert len(inputs.feature_names) == inputs.feature_size == found.shape[1]
    # What a clipped value was stays known: a residual forecast is added to it.
    assert filled[:, 0].max() > 1.5
    raw = inputs.in_raw_units(filled)
    known = ~np.isnan(xs[:, 0])
    np.testing.assert_allclose(raw[known], np.where(np.isnan(xs), raw, xs)[known], rtol=1e-12)


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_steps_runs_and_streams_agree_to_the_bit(missing: Missing) -> None:
    inputs = inputs_of(missing)
    xs = samples(3)
    steps = inputs.preprocessor(np.float64, 3, keep_last=True)
    rows = np.stack([steps(x).copy() for x in xs])
    runs = inputs.preprocessor(np.float64, 3, keep_last=True)
    pieces = [runs.run(piece)[0] for piece in (xs[:7], xs[7:8], xs[8:])]
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
    for k in range(3):
        np.testing.assert_array_equal(inputs.features(xs[:, k])[0], rows[:, k])
        single = inputs.preprocessor(np.float64, None, keep_last=True)
        np.testing.assert_array_equal([single(x).copy() for x in xs[:, k]], rows[:, k])
    np.testing.assert_array_equal(runs.last, steps.last)


def test_a_reset_of_one_stream_is_its_start_and_the_others_go_on() -> None:
    inputs = inputs_of()
    xs = samples(3)
    pre = inputs.preprocessor(np.float64, 3, keep_last=True)
    before = pre.run(xs[:15])[0]
    pre.reset([1])
    after = pre.run(xs[15:])[0]
    whole = np.concatenate([before, after])
    for k in (0, 2):
        np.testing.assert_array_equal(whole[:, k], inputs.features(xs[:, k])[0])
    np.testing.assert_array_equal(after[:, 1], inputs.features(xs[15:, 1])[0])


@pytest.mark.parametrize("long", [1, 50])
def test_a_drifting_mean_stays_exact(long: int) -> None:
    """Over 20,000 steps far from zero, a sum that is carried loses nothing that matters."""
    inputs = Channels(
        ("p",), (101325.0,), (50.0,), transforms=(Distance(("p",), (0.0,), (1.0,), steps=long),)
    )
    rng = np.random.default_rng(1)
    x = 101325 + np.cumsum(rng.normal(size=20000))
    found = inputs.features(x[:, None])[0][:, 1]
    exact = [
        x[t] - math.fsum(x[max(t - long + 1, 0) : t + 1]) / min(t + 1, long)
        for t in range(0, 20000, 97)
    ]
    np.testing.assert_allclose(found[::97], exact, atol=1e-8)


# --- the session ---


def spec_of(missing: Missing = "ffill", *, residual: bool = True) -> rt.ModelSpec:
    """Forecasts u, on its logarithmic scale, and v."""
    inputs = inputs_of(missing)
    answer = Forecast(("u", "v"), 2, (0.1, 0.2, -0.1, 0.3), (0.5, 0.6, 0.7, 0.8), residual)
    return rt.ModelSpec(inputs, chain(inputs.feature_size, 6, 1, 4), answer)


def opened(spec: rt.ModelSpec, backend: str, streams: int | None = None) -> Session:
    weights = random_weights(spec)
    made: rt.Backend
    if backend == "native":
        made = NativeBackend(spec, weights, streams=streams)
    elif streams is not None:
        made = NumpyStreams(spec, weights, streams)
    else:
        made = (
            rt.Reference(spec, weights) if backend == "reference" else NumpyBackend(spec, weights)
        )
    return Session(spec, made) if streams is None else StreamsSession(spec, made, streams)


BACKENDS = ["reference", "numpy", "native"]


@pytest.mark.parametrize("residual", [True, False])
def test_a_target_on_a_log_scale_is_answered_in_raw_units(residual: bool) -> None:
    spec = spec_of(residual=residual)
    xs = samples(1)[:, 0]
    found = opened(spec, "reference").run(xs)
    rows, filled = spec.inputs.features(xs)
    outputs = rt.Reference(spec, random_weights(spec)).run(rows)
    for k, (offset, scale) in enumerate(zip(spec.answer.offset, spec.answer.scale, strict=True)):
        log = k % 2 == 0
        now = filled[:, 0 if log else 2] if residual else 0
        answer = offset + scale * outputs[:, k] + now
        expected = LOG_UNIT * (np.exp(answer) - 1) if log else answer
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-9)


def test_an_answer_far_out_of_range_stays_finite() -> None:
    spec = spec_of()
    scale = (1e6,) * 4
    spec = dataclasses.replace(spec, answer=dataclasses.replace(spec.answer, scale=scale))
    assert np.isfinite(opened(spec, "numpy").run(samples(1)[:, 0])).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_a_saved_state_goes_on_as_if_nothing_had_happened(backend: str, missing: Missing) -> None:
    spec = spec_of(missing)
    xs = samples(2)
    single = xs[:, 0]
    session = opened(spec, backend)
    straight = np.stack([session.step(x) for x in single])
    np.testing.assert_allclose(opened(spec, backend).run(single), straight, rtol=1e-5, atol=1e-6)
    session = opened(spec, backend)
    session.run(single[:12])
    state = session.state
    assert {"difference0_past", "distance1_past", "distance2_mean"} < set(state)
    other = opened(spec, backend)
    other.state = state
    np.testing.assert_allclose(other.run(single[12:]), straight[12:], rtol=1e-5, atol=1e-6)
    session.reset()
    np.testing.assert_allclose(session.run(single), straight, rtol=1e-5, atol=1e-6)
    streams = opened(spec, backend, 2)
    assert streams.state["difference0_past"].shape == (2, 3, 2)
    found = np.stack([streams.step(x) for x in xs])
    np.testing.assert_allclose(found[:, 0], straight, rtol=1e-5, atol=1e-6)


def test_models_without_transforms_have_no_more_in_their_state() -> None:
    inputs = Channels(("u",), (0.0,), (1.0,))
    spec = rt.ModelSpec(inputs, chain(1, 4, 1, 1), Forecast(("u",), 1, (0.0,), (1.0,)))
    assert set(opened(spec, "numpy").state) == {"lstm0.h", "lstm0.c", "last"}
    assert set(inputs.to_dict()) == {"kind", "channels", "mean", "std"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([-0.5, START, 0.0], "channel 'u' is negative or infinite; expected 0 or more"),
        ([1.0, math.nan, 0.0], "channel 'at' is nan; expected seconds since 1970"),
        ([1.0, START * 1000, 0.0], "channel 'at' is 1.3e\\+12; expected seconds since 1970"),
        ([1.0, START], "shape"),
        (np.float32([1.0, START, 0.0]), "float32, which rounds the seconds of channel 'at'"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_refused_sample_changes_nothing(backend: str, bad: Any, message: str) -> None:
    spec = spec_of()
    xs = samples(1)[:, 0]
    session = opened(spec, backend)
    session.run(xs[:9])
    before = session.state
    with pytest.raises(SampleError, match=message):
        session.step(bad)
    if len(bad) == 3:
        with pytest.raises(SampleError, match=message):
            session.run(np.stack([xs[9], bad]).astype(np.asarray(bad).dtype))
    for name, array in session.state.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_wrong_memory_is_refused() -> None:
    session = opened(spec_of(), "numpy")
    state = session.state
    for wrong, message in (
        (np.zeros((2, 2)), r"'difference0_past' has shape \(2, 2\), expected \(3, 2\)"),
        (np.full((3, 2), np.inf), "without inf"),
        ("text", "is not numeric"),
    ):
        with pytest.raises(BackendError, match=message):
            session.state = {**state, "difference0_past": wrong}
    del state["difference0_past"]
    with pytest.raises(BackendError, match="difference0_past"):
        session.state = state


# --- the bundle ---


def test_the_inputs_come_back_from_json() -> None:
    inputs = inputs_of()
    assert inputs_from(json.loads(json.dumps(inputs.to_dict()))) == inputs
    assert inputs.to_dict()["transforms"][:3] == [
        {"type": "clip", "channels": ["v", "u"], "low": [-1.0, 0.1], "high": [1.0, 1.5]},
        {"type": "log", "channels": ["u"], "units": [3.0]},
        {
            "type": "difference",
            "channels": ["u", "v"],
            "mean": [0.05, -0.1],
            "std": [0.4, 2.0],
            "lag": 3,
        },
    ]


PLAIN = {"kind": "channels", "channels": ["u", "v"], "mean": [0, 0], "std": [1, 1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transforms": [{"type": "root"}]}, "a type, one of log, clip"),
        ({"transforms": "log"}, "expected a list of transforms"),
        ({"transforms": [3]}, "a transform is 3"),
        ({"transforms": [{"type": "log", "channels": ["u"]}]}, "expected .*units"),
        ({"transforms": [{"type": "log", "channels": ["w"], "units": [1]}]}, "'w' is not among"),
        ({"transforms": [{"type": "log", "channels": ["u"], "units": [0]}]}, "units is"),
        ({"transforms": [{"type": "log", "channels": ["u"], "units": [1, 2]}]}, "2 values"),
        ({"transforms": [{"type": "log", "channels": [], "units": []}]}, "at least 1"),
        ({"transforms": 2 * [{"type": "log", "channels": ["u"], "units": [1]}]}, "more than one"),
        ({"transforms": [{"type": "clip", "channels": ["u"], "low": [2], "high": [1]}]}, "above"),
        ({"transforms": [{"type": "difference", "lag": 0}]}, "expected"),
        (
            {
                "transforms": [
                    {"type": "difference", "channels": ["u"], "mean": [0], "std": [1], "lag": 10**9}
                ]
            },
            "lag is 1000000000",
        ),
        (
            {"transforms": [{"type": "distance", "channels": ["u"], "mean": [0], "std": [1]}]},
            "expected one of the two",
        ),
        (
            {
                "transforms": [
                    {"type": "distance", "channels": ["u"], "mean": [0], "std": [1], "seconds": 60}
                ]
            },
            "clock is ''",
        ),
        (
            {
                "transforms": [
                    {"type": "distance", "channels": ["u"], "mean": [0], "std": [0], "steps": 6}
                ]
            },
            "std is",
        ),
        ({"transforms": [{"type": "calendar", "channel": "u", "parts": ["hour"]}]}, "drop lacks"),
        (
            {
                "transforms": [{"type": "calendar", "channel": "u", "parts": ["moon"]}],
                "drop": ["u"],
            },
            "unknown parts",
        ),
        (
            {
                "transforms": [
                    {
                        "type": "calendar",
                        "channel": "u",
                        "parts": ["hour"],
                        "zone": [[5, 3600], [5, 0]],
                    }
                ],
                "drop": ["u"],
            },
            "ascending",
        ),
        (
            {
                "transforms": [
                    {"type": "calendar", "channel": "u", "parts": ["hour"], "zone": [[5, 1e9]]}
                ],
                "drop": ["u"],
            },
            "zone",
        ),
        (
            {
                "transforms": [
                    {"type": "calendar", "channel": "u", "parts": ["hour"], "holidays": [2, 1]}
                ],
                "drop": ["u"],
            },
            "ascending",
        ),
        (
            {
                "transforms": [
                    {"type": "calendar", "channel": "u", "parts": ["hour"]},
                    {"type": "calendar", "channel": "v", "parts": ["hour"]},
                ],
                "drop": ["u", "v"],
            },
            "one channel of times",
        ),
        (
            {
                "transforms": [
                    {"type": "calendar", "channel": "u", "parts": ["hour"]},
                    {"type": "log", "channels": ["u"], "units": [1]},
                ],
                "drop": ["u"],
            },
            "is a time",
        ),
        ({"dt": "u", "transforms": [{"type": "log", "channels": ["u"], "units": [1]}]}, "already"),
        ({"drop": ["w"]}, "not among"),
        ({"drop": ["u", "v"]}, "no feature"),
        ({"drop": 3}, "drop is 3"),
    ],
)
def test_a_wrong_transform_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        inputs_from(PLAIN | changes)
    assert len(str(caught.value).splitlines()) == 1


def test_a_time_is_no_target() -> None:
    inputs = inputs_of()
    with pytest.raises(BundleError, match="the time 'at' is among the targets"):
        rt.ModelSpec(
            inputs,
            chain(inputs.feature_size, 4, 1, 1),
            Forecast(("at",), 1, (0.0,), (1.0,)),
        )
