"""A channel of elapsed time: scale, in steps or at once, refusals, `edge-lstm run`'s clock."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import cli
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.inputs import as_samples
from edge_lstm_runtime.inputs.channels import Missing
from edge_lstm_runtime.inputs.times import Clock
from helpers.bundles import make_bundle
from helpers.preprocessors import preprocessor
from helpers.specs import changed, make_spec
from helpers.tolerances import assert_close

UNIT = 300.0
DT = np.array([0.0, 300.0, 0.0, 86400.0, 299.5, 1e-3, 1e12])
XS = np.column_stack([np.linspace(-1, 1, len(DT)), np.ones(len(DT)), DT])


def timed(missing: Missing = "refuse", **changes: Any) -> rt.ModelSpec:
    spec = make_spec(
        task="forecast",
        channels=["a", "b", "dt"],
        missing=missing,
        mean=[0.0, 1.0, 0.6],
        std=[1.0, 2.0, 0.5],
    )
    return changed(spec, **{"dt": "dt", "dt_unit": UNIT, "time": "when", **changes})


@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
def test_the_feature_is_the_normalised_logarithm(missing: Missing) -> None:
    spec = timed(missing)
    expected = np.array([(math.log(1 + dt / UNIT) - 0.6) / 0.5 for dt in DT])
    rows = spec.inputs.features(XS)[0]
    np.testing.assert_allclose(rows[:, 2], expected, rtol=1e-9)
    np.testing.assert_allclose(rows[:, 1], (XS[:, 1] - 1) / 2)
    one_by_one = preprocessor(spec, np.float64)
    assert_close(np.array([one_by_one(x).copy() for x in XS]), rows, "features", "step by step")
    assert_close(
        preprocessor(spec, np.float64).run(as_samples(spec.inputs, XS))[0],
        rows,
        "features",
        "all at once",
    )


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_a_missing_one_is_filled_on_its_scale(missing: Missing) -> None:
    spec = timed(missing)
    xs = XS.copy()
    xs[3:5, 2] = np.nan
    rows = spec.inputs.features(xs)[0]
    kept = (math.log(1 + 0.0) - 0.6) / 0.5 if missing == "ffill" else 0.0
    np.testing.assert_allclose(rows[3:5, 2], kept)
    one_by_one = preprocessor(spec, np.float64)
    assert_close(np.array([one_by_one(x).copy() for x in xs]), rows, "features", "step by step")
    assert_close(
        preprocessor(spec, np.float64).run(as_samples(spec.inputs, xs))[0],
        rows,
        "features",
        "all at once",
    )


def test_a_time_too_far_from_the_mean_is_refused_for_what_it_is() -> None:
    spec = changed(timed("ffill"), std=(1.0, 2.0, 1e-30))
    message = (
        r"channel 'dt' is 5000 seconds, on its logarithmic scale, more than 1e\+30 standard "
        r"deviations from its mean 0\.6$"
    )
    with pytest.raises(rt.SampleError, match=message):
        preprocessor(spec)([0.0, 1.0, 5000.0])
    with pytest.raises(rt.SampleError, match=f"step 0: {message}"):
        spec.inputs.features([[0.0, 1.0, 5000.0]])


def test_more_units_than_a_float_holds_are_refused() -> None:
    spec = timed("ffill", dt_unit=1e-30)
    with pytest.raises(rt.SampleError, match="channel 'dt' is negative or infinite"):
        preprocessor(spec)([0.0, 1.0, 1e300])


@pytest.mark.parametrize("value", [-1e-9, -5.0, math.inf, -math.inf])
def test_negative_and_infinite_times_are_refused(value: float) -> None:
    spec = timed("ffill")
    xs = XS.copy()
    xs[4, 2] = value
    message = "channel 'dt' is negative or infinite; expected the seconds since the sample before"
    with pytest.raises(rt.SampleError, match=f"step 4: {message}"):
        spec.inputs.features(xs)
    with pytest.raises(rt.SampleError, match=message):
        preprocessor(spec)(xs[4])
    with pytest.raises(rt.SampleError, match=f"row 4: {message}"):
        preprocessor(spec).run(as_samples(spec.inputs, xs))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dt": "c"}, "dt is 'c', which is not among the channels"),
        ({"dt": "a"}, "dt is 'a', which is among the targets"),
        ({"dt": 1}, "dt is 1, expected a name"),
        ({"dt_unit": 0.0}, "dt_unit is 0.0"),
        ({"time": "b"}, "time is 'b', which is a channel"),
    ],
)
def test_a_wrong_specification_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(rt.BundleError, match=message):
        timed(**changes)


def test_the_mean_in_seconds() -> None:
    assert timed().inputs.raw_mean == pytest.approx((0.0, 1.0, UNIT * (math.exp(0.6) - 1)))


# --- the clock ---


def test_the_clock_stands_still_when_it_is_set_back() -> None:
    clock = Clock()
    found = []
    for moment in (10.0, 10.0, 15.0, 12.0, 13.0):
        found.append(clock.since(moment))
        clock.take(moment)
    assert found == [0.0, 0.0, 5.0, 0.0, 1.0]
    clock.reset()
    assert clock.since(99.0) == 0.0


def forecasts(found: list[dict[str, Any]]) -> list[Any]:
    return [answer.get("forecast") for answer in found]


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_run_works_the_time_out(
    tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "timed.edge"
    make_bundle(path, spec=timed("ffill"))
    when = [
        "2024-05-31 23:50:00",
        "2024-05-31 23:55:00",
        "2024-05-31 23:55:00",
        "2024-06-01 23:55:00",
        "2024-06-01 23:54:00",
    ]
    dts = [0.0, 300.0, 0.0, 86400.0, 0.0]
    rows = [(0.1 * k, 1.0 - 0.2 * k) for k in range(5)]
    text = "b,when,a\n" + "".join(f"{b},{w},{a}\n" for (a, b), w in zip(rows, when, strict=True))
    (tmp_path / "in.csv").write_text(text)
    assert (
        cli.main(["run", str(path), "--input", str(tmp_path / "in.csv"), "--backend", backend]) == 0
    )
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with rt.load(path).session(backend) as session:
        expected = [session.step([a, b, dt]) for (a, b), dt in zip(rows, dts, strict=True)]
        for answer, y in zip(found, expected, strict=True):
            np.testing.assert_array_equal(
                [v for pair in zip(*answer["forecast"].values(), strict=True) for v in pair], y
            )

        def again(lines: list[str], reset_every: int = 0) -> list[dict[str, Any]]:
            session.reset()
            return list(answers(session, lines, reset_every))

        objects = [
            json.dumps({"a": a, "b": b, "when": w}) for (a, b), w in zip(rows, when, strict=True)
        ]
        assert forecasts(again(objects)) == forecasts(found)
        in_place = [json.dumps([a, b, dt]) for (a, b), dt in zip(rows, dts, strict=True)]
        assert forecasts(again(in_place)) == forecasts(found)
        own = [
            json.dumps({"a": a, "b": b, "dt": dt, "when": "not read"})
            for (a, b), dt in zip(rows, dts, strict=True)
        ]
        assert forecasts(again(own)) == forecasts(found)
        # A line that is refused doesn't move the clock, and a reset sets it back.
        bad = [
            *objects[:1],
            '{"a": "x", "b": 1, "when": "2024-05-31 23:54:00"}',
            '{"a": 1, "b": 1, "when": "soon"}',
            *objects[1:],
        ]
        answered = again(bad)
        assert ["error" in a for a in answered] == [False, True, True, False, False, False, False]
        assert [f for f in forecasts(answered) if f] == forecasts(found)
        restarted = again([objects[0], '{"reset": true}', objects[3]])
        assert restarted[2]["forecast"] == again([objects[3]])[0]["forecast"]
        assert again(objects, reset_every=1)[3]["forecast"] == restarted[2]["forecast"]
    assert cli.main(["info", str(path)]) == 0
    assert (
        "dt is the seconds since the sample before; `run` takes them, or works them out from 'when'"
        in capsys.readouterr().out
    )


def test_streams_are_scaled_too() -> None:
    spec = timed("ffill")
    several = preprocessor(spec, np.float64, 2)
    rows = spec.inputs.features(XS)[0]
    for k in range(len(XS)):
        np.testing.assert_allclose(
            several(np.stack([XS[k], XS[k]])), np.stack([rows[k], rows[k]]), rtol=1e-9, atol=1e-12
        )
