"""The detector against plain float64 over a whole recording, its state, gaps, and the command."""

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
from edge_lstm_runtime.tasks.forecast import Detector
from helpers.arrays import Array
from helpers.bundles import make_bundle
from helpers.specs import changed, make_spec

HORIZON = 3
SMOOTHING = 0.4
THRESHOLD = 2.25


def detecting(spec: rt.ModelSpec, **changes: Any) -> rt.ModelSpec:
    size = spec.output_size
    values: dict[str, Any] = {
        "centre": tuple(0.1 * k - 0.2 for k in range(size)),
        "scale": tuple(0.5 + 0.1 * k for k in range(size)),
        "threshold": THRESHOLD,
        "smoothing": SMOOTHING,
    }
    return changed(spec, detector=Detector(**{**values, **changes}))


SPEC = detecting(make_spec(task="forecast", channels=3, outputs=HORIZON))
RECORDING = np.random.default_rng(5).normal(size=(60, 3))
FORECASTS = np.random.default_rng(6).normal(size=(60, 2 * HORIZON))


def plain(spec: rt.ModelSpec, xs: Array, forecasts: Array) -> Array:
    """The scores (T,) as the module's docstring defines them, number by number."""
    score = math.nan
    found = []
    for t, x in enumerate(xs.tolist()):
        raw = []
        for j, target in enumerate(spec.answer.targets):
            value = x[spec.inputs.names.index(target)]
            deviations = []
            horizon = spec.answer.horizon
            steps = range(1, horizon + 1) if isinstance(horizon, int) else horizon
            for k, ahead in enumerate(steps):
                if t - ahead >= 0 and not math.isnan(value):
                    n = k * len(spec.answer.targets) + j
                    error = value - float(forecasts[t - ahead][n])
                    deviations.append(abs(error - spec.detector.centre[n]) / spec.detector.scale[n])
            if deviations:
                raw.append(sum(deviations) / len(deviations))
        if raw:
            score = (
                max(raw)
                if math.isnan(score)
                else (1 - spec.detector.smoothing) * score + spec.detector.smoothing * max(raw)
            )
        found.append(score if raw else math.nan)
    return np.array(found)


def stream(detector: rt.AnomalyDetector, xs: Array, forecasts: Array) -> list[rt.Detection]:
    return [detector(x, y) for x, y in zip(xs, forecasts, strict=True)]


@pytest.mark.parametrize("steps", [(2,), (1, 4), (3, 7, 20)])
def test_listed_steps_ahead_are_compared_with_the_sample_that_they_are_for(
    steps: tuple[int, ...],
) -> None:
    spec = make_spec(task="forecast", channels=3, outputs=len(steps))
    spec = detecting(changed(spec, horizon=steps))
    expected = plain(spec, RECORDING, FORECASTS[:, : 2 * len(steps)])
    assert np.isnan(expected).sum() == steps[0]
    detector = rt.AnomalyDetector(spec)
    found = stream(detector, RECORDING[:30], FORECASTS[:30, : 2 * len(steps)])
    kept = detector.state
    assert kept["due"].shape == (steps[-1], len(steps), 2)
    detector = rt.AnomalyDetector(spec)
    detector.state = kept
    found += stream(detector, RECORDING[30:], FORECASTS[30:, : 2 * len(steps)])
    np.testing.assert_allclose([d.score for d in found], expected, rtol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_scores_and_flags_are_those_of_a_plain_computation(gaps: bool) -> None:
    xs = RECORDING.copy()
    if gaps:
        xs[np.random.default_rng(7).random(xs.shape) < 0.3] = np.nan
        xs[20:24] = np.nan
    expected = plain(SPEC, xs, FORECASTS)
    found = stream(rt.AnomalyDetector(SPEC), xs, FORECASTS)
    np.testing.assert_allclose([d.score for d in found], expected, rtol=1e-12)
    assert [d.anomaly for d in found] == [bool(s > THRESHOLD) for s in expected]
    assert 5 < sum(d.anomaly for d in found) < 50  # so that both are tested
    assert math.isnan(found[0].score)  # nothing was forecast of the first sample
    assert math.isnan(found[20].score) == gaps


def test_the_state_is_saved_restored_and_reset() -> None:
    detector = rt.AnomalyDetector(SPEC)
    whole = stream(detector, RECORDING, FORECASTS)
    detector.reset()
    assert math.isnan(detector.state["score"])
    first = stream(detector, RECORDING[:30], FORECASTS[:30])
    saved = detector.state
    stream(detector, RECORDING[40:], FORECASTS[40:])
    detector.state = saved
    again = first + stream(detector, RECORDING[30:], FORECASTS[30:])
    np.testing.assert_array_equal([d.score for d in again], [d.score for d in whole])
    with pytest.raises(rt.BackendError, match="not a state of this detector"):
        detector.state = {"due": saved["due"]}
    with pytest.raises(rt.BackendError, match="not a state of this detector"):
        detector.state = {"due": saved["due"][1:], "score": 0.0}


def test_a_wrong_shape_is_refused_and_changes_nothing() -> None:
    detector = rt.AnomalyDetector(SPEC)
    stream(detector, RECORDING[:5], FORECASTS[:5])
    before = detector.state
    for x, y in ((RECORDING[5][:2], FORECASTS[5]), (RECORDING[5], FORECASTS[5][1:])):
        with pytest.raises(rt.SampleError, match="sample and answer have shapes"):
            detector(x, y)
    np.testing.assert_array_equal(detector.state["due"], before["due"])


@pytest.mark.parametrize("text", ["high", [["high"] * 3], [1.0, "high", 2.0], [1.0, [2.0], 3.0]])
def test_text_is_refused_and_changes_nothing(text: Any) -> None:
    detector = rt.AnomalyDetector(SPEC)
    stream(detector, RECORDING[:5], FORECASTS[:5])
    before = detector.state
    for x, y in ((text, FORECASTS[5]), (RECORDING[5], text)):
        with pytest.raises(rt.SampleError, match=r"^sample (or answer is not numeric|and answer)"):
            detector(x, y)
    np.testing.assert_array_equal(detector.state["due"], before["due"])
    assert detector.state["score"] == before["score"]


STATES: dict[str, Any] = {
    "no score": lambda s: s | {"score": None},
    "a score of text": lambda s: s | {"score": "high"},
    "a score of several": lambda s: s | {"score": [1.0, 2.0]},
    "text": lambda s: s | {"due": np.full(s["due"].shape, "high")},
    "ragged": lambda s: s | {"due": [[1.0], [2.0, 3.0]]},
    "None": lambda s: s | {"due": None},
    "another shape": lambda s: s | {"due": s["due"][1:]},
    "other names": lambda s: s | {"last": 0.0},
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_a_refused_state_changes_nothing(change: Any) -> None:
    detector = rt.AnomalyDetector(SPEC)
    stream(detector, RECORDING[:10], FORECASTS[:10])
    before = detector.state
    wrong = change({"due": before["due"] + 1, "score": 7.0})
    with pytest.raises(rt.BackendError, match=r"^not a state of this detector: .*; expected 'due'"):
        detector.state = wrong
    np.testing.assert_array_equal(detector.state["due"], before["due"])
    assert detector.state["score"] == before["score"]


def test_a_plain_forecast_is_no_detector() -> None:
    with pytest.raises(rt.ConfigError, match="no anomaly detector"):
        rt.AnomalyDetector(make_spec(task="forecast"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centre": ()}, "detector.centre has 0 values, expected 6"),
        ({"scale": (1.0,) * 5}, "detector.scale has 5 values, expected 6"),
        ({"scale": (0.0,) * 6}, r"detector.scale is \(0.0, .*expected a list of numbers, 1e-30 to"),
        ({"threshold": -1.0}, "detector.threshold is .*-1.0"),
        ({"threshold": math.nan}, "detector.threshold is .*nan"),
        ({"smoothing": 0.0}, "detector.smoothing is 0.0"),
        ({"smoothing": True}, "detector.smoothing is True"),
    ],
)
def test_a_wrong_specification_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(rt.BundleError, match=message):
        detecting(make_spec(task="forecast", channels=3, outputs=HORIZON), **changes)


def test_only_a_forecast_detects_and_a_detector_is_read_as_it_was_written() -> None:
    detector = SPEC.to_dict()["answer"]["detector"]
    values = make_spec().to_dict()
    with pytest.raises(rt.BundleError, match=r"answer: has unknown keys \['detector'\]"):
        rt.ModelSpec.from_dict({**values, "answer": {**values["answer"], "detector": detector}})
    assert "detector" not in make_spec(task="forecast").to_dict()["answer"]
    assert rt.ModelSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_the_command_prints_score_and_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "watch.edge"
    make_bundle(path, spec=detecting(make_spec(task="forecast", missing="ffill", outputs=HORIZON)))
    lines = [json.dumps(row) for row in RECORDING.tolist()]
    lines[8] = "[null, null, 0.5]"
    lines[12] = '{"reset": true}'
    lines[15] = "what?"
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    assert (
        cli.main(["run", str(path), "--input", str(tmp_path / "in.jsonl"), "--backend", "numpy"])
        == 1
    )
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0]["score"] is None
    assert found[0]["anomaly"] is False
    assert found[8]["score"] is None  # neither target has a value
    assert found[12] == {"line": 13, "reset": True}
    assert found[13]["score"] is None  # begins anew
    assert "error" in found[15]
    model = rt.load(path)
    detector = rt.AnomalyDetector(model.spec)
    with model.session("numpy") as session:
        for n, x in enumerate(RECORDING[:8]):
            score, anomaly = detector(x, session.step(x))
            assert found[n]["anomaly"] is anomaly
            if n:
                assert found[n]["score"] == score
        session.reset()
        assert [a.get("score") for a in answers(session, lines)] == [a.get("score") for a in found]
    assert cli.main(["info", str(path)]) == 0
    assert f"anomaly   a score above {THRESHOLD}" in capsys.readouterr().out
