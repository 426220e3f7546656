"""Samples to features and outputs to answers: at once against one by one, on nasty numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm_runtime import BundleError, ModelSpec, SampleError, Session, describe
from edge_lstm_runtime.inputs.channels import Channels, Missing
from edge_lstm_runtime.inputs.transforms import Calendar
from edge_lstm_runtime.session import answers
from helpers.backends import open_any
from helpers.bundles import network_outputs
from helpers.generated import PROPERTY
from helpers.preprocessors import preprocessor
from helpers.specs import changed, make_spec, samples
from helpers.tolerances import assert_close
from helpers.weights import random_weights

nan = math.nan


@st.composite
def recordings(draw: st.DrawFn) -> tuple[ModelSpec, np.ndarray[Any, Any]]:
    """A model and a recording with gaps anywhere, even at the start or throughout a channel."""
    channels = draw(st.integers(1, 3))
    missing = draw(st.sampled_from(["ffill", "mask"]))
    number = st.floats(-1e6, 1e6, allow_subnormal=False)
    mean = draw(st.lists(number, min_size=channels, max_size=channels))
    std = draw(st.lists(st.floats(1e-3, 1e3), min_size=channels, max_size=channels))
    spec = make_spec(channels=channels, missing=missing, mean=mean, std=std)
    rows = draw(
        st.lists(
            st.lists(st.one_of(number, st.just(nan)), min_size=channels, max_size=channels),
            min_size=1,
            max_size=12,
        )
    )
    return spec, np.array(rows)


def naive(spec: ModelSpec, xs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Features, value by value, in plain Python."""
    known = list(spec.inputs.mean)
    rows = []
    for x in xs:
        row = []
        mask = []
        for k, value in enumerate(x):
            gap = value != value
            if gap:
                value = known[k] if spec.inputs.missing == "ffill" else spec.inputs.mean[k]
            elif spec.inputs.missing == "ffill":
                known[k] = value
            row.append((value - spec.inputs.mean[k]) / spec.inputs.std[k])
            mask.append(float(gap))
        rows.append(row + mask if spec.inputs.missing == "mask" else row)
    return np.array(rows)


@PROPERTY
@given(recordings())
def test_features_are_the_naive_ones(case: tuple[ModelSpec, np.ndarray[Any, Any]]) -> None:
    spec, xs = case
    expected = naive(spec, xs)
    scale = np.maximum(1.0, np.abs(expected))
    assert_close(spec.inputs.features(xs)[0] / scale, expected / scale, "features", "features")


@PROPERTY
@given(recordings(), st.data())
def test_preprocessor_is_features_with_a_reset_anywhere(
    case: tuple[ModelSpec, np.ndarray[Any, Any]], data: st.DataObject
) -> None:
    spec, xs = case
    cut = data.draw(st.integers(0, len(xs)), label="reset before")
    pre = preprocessor(spec, np.float64)
    for start, stop in ((0, cut), (cut, len(xs))):
        pre.reset()
        if start == stop:
            continue
        expected, filled = spec.inputs.features(xs[start:stop])
        for n, x in enumerate(xs[start:stop]):
            scale = np.maximum(1.0, np.abs(expected[n]))
            assert_close(
                pre(x) / scale, expected[n] / scale, "features", f"features of step {start + n}"
            )
            if spec.inputs.missing == "ffill":
                assert_close(pre.last, filled[n], "exact", f"filled values of step {start + n}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("streams", [None, 2])
@PROPERTY
@given(case=recordings(), data=st.data())
def test_a_run_is_a_call_for_each_row_bit_for_bit(
    dtype: type[np.floating[Any]],
    streams: int | None,
    case: tuple[ModelSpec, np.ndarray[Any, Any]],
    data: st.DataObject,
) -> None:
    spec, xs = case
    if streams is not None:
        xs = np.stack([xs, xs[::-1]], axis=1)
    cut = data.draw(st.integers(1, len(xs)), label="two runs, the second from")
    single = preprocessor(spec, dtype, streams)
    whole = preprocessor(spec, dtype, streams)
    for part in (xs[:cut], xs[cut:]):
        if not len(part):
            continue
        rows, filled = whole.run(part)
        for n, x in enumerate(part):
            np.testing.assert_array_equal(rows[n], single(x), strict=True)
            np.testing.assert_array_equal(filled[n], single.last)
        np.testing.assert_array_equal(whole.last, single.last)


def test_a_refused_row_after_gaps_is_named_and_changes_nothing() -> None:
    spec = make_spec(channels=2, missing="ffill")
    pre = preprocessor(spec)
    pre([3.0, 4.0])
    with pytest.raises(SampleError, match=r"^row 2: channel 'ch1' is inf"):
        pre.run(np.array([[nan, 1.0], [2.0, nan], [nan, math.inf], [-math.inf, 0.0]]))
    assert pre.last.tolist() == [3.0, 4.0]
    several = preprocessor(spec, streams=2)
    with pytest.raises(SampleError, match=r"^row 1: stream 1: channel 'ch0' is inf"):
        several.run(np.array([[[nan, 1.0], [2.0, nan]], [[nan, 1.0], [math.inf, nan]]]))


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_leading_gaps_are_the_mean(missing: Missing) -> None:
    spec = make_spec(channels=2, missing=missing)
    xs = [[nan, 2.0], [nan, nan], [3.0, nan]]
    rows, filled = spec.inputs.features(xs)
    assert (rows[:2, 0] == 0).all()
    assert (filled[:2, 0] == spec.inputs.mean[0]).all()
    assert rows[1, 1] == (rows[0, 1] if missing == "ffill" else 0.0)
    if missing == "mask":
        assert rows[:, 2:].tolist() == [[1, 0], [1, 1], [0, 1]]


def test_mask_is_cleared_after_a_gap() -> None:
    pre = preprocessor(make_spec(channels=2, missing="mask"))
    assert pre([nan, 0.0])[2:].tolist() == [1, 0]
    assert pre([0.0, 0.0])[2:].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_offset_keeps_its_precision(dtype: type[np.floating[Any]]) -> None:
    # Air pressure: the signal is the last 1 of 101,325 Pa. In float32 its steps are 0.0078 Pa, to
    # which the mean must not add.
    spec = make_spec(channels=1, mean=[101_325.3], std=[0.5])
    pre = preprocessor(spec, dtype)
    pressures = 101_325 + np.linspace(-1, 1, 257)
    got = np.array([pre([p])[0] for p in pressures], np.float64)
    expected = (pressures - 101_325.3) / 0.5
    assert np.abs(got - expected).max() < (1e-9 if dtype is np.float64 else 5e-7)


@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_inf_is_refused(missing: Missing, value: float) -> None:
    spec = make_spec(missing=missing)
    with pytest.raises(SampleError, match=r"channel 'ch1' is -?inf; expected a finite number"):
        preprocessor(spec)([0.0, value, 0.0])
    with pytest.raises(SampleError, match=r"step 1: channel 'ch1' is -?inf"):
        spec.inputs.features([[0.0, 0.0, 0.0], [0.0, value, 0.0]])


def test_nan_is_refused_with_advice() -> None:
    spec = make_spec(missing="refuse")
    with pytest.raises(
        SampleError,
        match=r"channel 'ch2' is NaN and this model has missing = 'refuse'; send a number",
    ):
        preprocessor(spec)([0.0, 0.0, nan])
    with pytest.raises(SampleError, match="step 0: channel 'ch2' is NaN"):
        spec.inputs.features([[0.0, 0.0, nan]])


@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
@pytest.mark.parametrize("value", [1e200, -1e200, 1.7e308, 1e31])
def test_huge_values_are_refused_for_what_they_are(missing: Missing, value: float) -> None:
    # In float32 they are inf, and inf - inf in a gate would leave NaN in the state for good.
    spec = make_spec(missing=missing)
    with pytest.raises(
        SampleError, match=r"channel 'ch0' is -?1.*e\+\d+, more than 1e\+30 standard deviations"
    ):
        preprocessor(spec)([value, 0.0, 0.0])
    with pytest.raises(SampleError, match=r"step 0: channel 'ch0' is .*standard deviations"):
        spec.inputs.features([[value, 0.0, 0.0]])


@pytest.mark.parametrize("std", [1e-30, 1e-6, 1.0, 1e30])
@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
def test_large_values_below_the_limit_pass(missing: Missing, std: float) -> None:
    spec = make_spec(channels=2, mean=[0.0, 0.0], std=[std, 1.0], missing=missing)
    value = 9e29 * std
    for xs in ([value, 1.0], [-value, -9e29]):
        got = preprocessor(spec)(xs)
        expected = spec.inputs.features([xs])[0][0]
        assert np.isfinite(got).all()
        assert np.allclose(got, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("std", [(1.0, 1e6), (1e6, 1.0)])
def test_each_channel_has_a_limit_of_its_own(std: tuple[float, float]) -> None:
    """1e30 deviations: what passes in the channel that varies much is refused in the other."""
    spec = make_spec(channels=2, mean=[0.0, 0.0], std=std)
    narrow, wide = (0, 1) if std[0] == 1 else (1, 0)
    x = np.zeros(2)
    x[wide] = 2e30
    assert preprocessor(spec)(x)[wide] == np.float32(2e24)
    assert preprocessor(spec, streams=3)(np.stack([x] * 3))[2, wide] == np.float32(2e24)
    x[wide] = 0
    x[narrow] = 2e30
    with pytest.raises(
        SampleError,
        match=f"^channel 'ch{narrow}' is 2e\\+30, more than 1e\\+30 standard deviations",
    ):
        preprocessor(spec)(x)
    with pytest.raises(SampleError, match=f"^stream 1: channel 'ch{narrow}' is 2e\\+30"):
        preprocessor(spec, streams=2)(np.stack([np.zeros(2), x]))
    with pytest.raises(SampleError, match=f"^row 1: channel 'ch{narrow}' is 2e\\+30"):
        preprocessor(spec).run(np.stack([np.zeros(2), x]))


def test_the_largest_sample_leaves_a_finite_state() -> None:
    spec = make_spec(channels=8, hidden=64, layers=2)
    for name in ("numpy", "onnx-fused", "onnx-cell"):
        session = Session(spec, open_any(name, spec, random_weights(spec)))
        session.step([(-1) ** k * 9e29 for k in range(8)])
        assert all(np.isfinite(value).all() for value in session.state.values()), name
        assert np.isfinite(session.step(samples(spec, 1)[0])).all(), name


@PROPERTY
@given(
    st.lists(st.floats(width=64), min_size=2, max_size=2),
    st.sampled_from(["refuse", "ffill", "mask"]),
)
def test_any_floats_are_features_or_refused_alike(x: list[float], missing: Missing) -> None:
    spec = make_spec(channels=2, missing=missing)
    whole, reason = attempt(lambda: spec.inputs.features([x])[0][0])
    single, same_reason = attempt(lambda: preprocessor(spec)(x))
    assert (whole is None) == (single is None)
    if whole is None or single is None:
        assert reason == f"step 0: {same_reason}"
    else:
        assert np.isfinite(single).all()
        assert np.allclose(single, whole, rtol=1e-6, atol=1e-30)


def attempt(call: Callable[[], np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any] | None, str]:
    try:
        return call(), ""
    except SampleError as e:
        return None, str(e)


@pytest.mark.parametrize(
    "bad",
    [
        [["a", "b", "c"]],
        [[1.0, 2.0]],
        [[1.0, 2.0, 3.0], [1.0]],
        [1.0, 2.0, 3.0],
        [[None, 1.0, 2.0]],
        "text",
        3,
    ],
)
def test_features_refuse_what_is_no_recording(bad: Any) -> None:
    with pytest.raises(SampleError, match="samples"):
        make_spec().features(bad)


def test_features_of_nothing() -> None:
    for missing in ("refuse", "ffill", "mask"):
        spec = make_spec(missing=missing)
        empties: list[Any] = [[], np.empty((0, 3))]
        for empty in empties:
            rows, filled = spec.inputs.features(empty)
            assert rows.shape == (0, spec.feature_size)
            assert filled.shape == (0, 3)


@pytest.mark.parametrize(
    "dtype", [np.int64, np.uint8, np.int16, np.float16, np.float32, np.bool_, np.longdouble]
)
def test_any_number_type_will_do(dtype: type[np.generic]) -> None:
    spec = make_spec()
    x = np.array([1, 0, 1]).astype(dtype)
    expected = spec.inputs.features([[1.0, 0.0, 1.0]])[0]
    assert_close(
        preprocessor(spec, np.float64)(x), expected[0], "features", f"{dtype.__name__} sample"
    )
    assert_close(
        spec.inputs.features(x[None])[0], expected, "features", f"{dtype.__name__} recording"
    )


def test_features_leave_the_input_alone() -> None:
    xs = np.array([[1.0, nan, 3.0]])
    _, filled = make_spec(missing="ffill").inputs.features(xs)
    assert np.isnan(xs[0, 1])
    filled[:] = 0
    assert xs[0, 0] == 1.0


# --- answers ---


def test_forecast_layout_and_residual() -> None:
    spec = make_spec(
        task="forecast", channels=["a", "b", "c"], outputs=2, missing="ffill", residual=True
    )
    assert spec.answer.names == ("a+1", "b+1", "a+2", "b+2")
    outputs = np.array([1.0, 2.0, 3.0, 4.0])
    now = np.array([100.0, 200.0, 300.0])
    offset = spec.answer.offset
    scale = spec.answer.scale
    expected = [offset[k] + scale[k] * outputs[k] + (100.0, 200.0)[k % 2] for k in range(4)]
    answer = answers(spec.answer.scaling(spec.inputs), outputs, now)
    assert_close(answer, np.array(expected), "float64", "forecast")
    assert describe(spec, answer) == {
        "forecast": {"a": [expected[0], expected[2]], "b": [expected[1], expected[3]]}
    }


def test_residual_follows_the_target_not_the_position() -> None:
    spec = make_spec(task="forecast", channels=["a", "b", "c"], outputs=1, residual=True)
    spec = changed(spec, targets=("c", "a"))
    scaling = spec.answer.scaling(spec.inputs)
    answer = answers(scaling, np.zeros((1, 2)), np.array([[1.0, 2.0, 3.0]]))
    assert_close(
        answer,
        np.array([[3.0 + spec.answer.offset[0], 1.0 + spec.answer.offset[1]]]),
        "float64",
        "forecast",
    )


def test_residual_forecast_from_a_gap_starts_at_the_filled_value() -> None:
    spec = make_spec(task="forecast", outputs=1, missing="ffill", residual=True)
    weights = random_weights(spec)
    weights["head.W"][:] = 0
    weights["head.b"][:] = 0
    session = Session(spec, open_any("reference", spec, weights))
    first = session.step([10.0, 20.0, 30.0])
    assert_close(session.step([nan, nan, nan]), first, "exact", "forecast in a gap")
    assert_close(first, np.array([10.0, 20.0]) + spec.answer.offset, "float64", "forecast")


def test_a_float32_forecast_around_a_large_offset_is_rounded_once() -> None:
    spec = make_spec(
        task="forecast", channels=1, outputs=1, mean=[101_325.0], std=[1.0], residual=True
    )
    weights = random_weights(spec)
    xs = 101_325 + np.sin(np.arange(200) / 9)[:, None]
    single = Session(spec, open_any("numpy", spec, weights)).run(xs)
    double = Session(spec, open_any("reference", spec, weights)).run(xs)
    # Half a float32 step at 101,325 is 0.0039. A larger error would mean that the offset went
    # through float32 arithmetic before.
    assert np.abs(single - double).max() < 0.0040


def test_classify_answers_are_the_logits() -> None:
    spec = make_spec()
    assert spec.answer.scaling(spec.inputs) is None
    weights = random_weights(spec)
    xs = samples(spec, 5)
    found = Session(spec, open_any("reference", spec, weights)).run(xs)
    assert_close(found, network_outputs(spec, weights, xs), "features", "logits")


def test_describe_classify() -> None:
    spec = make_spec(outputs=3)
    logits = np.array([1.0, 2.0, 3.0], np.float32)
    described = describe(spec, logits)
    assert described["label"] == "class2"
    expected = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
    assert list(described["probabilities"]) == ["class0", "class1", "class2"]
    # rounded to six places
    assert np.abs(np.array(list(described["probabilities"].values())) - expected).max() <= 5e-7


def test_describe_classify_does_not_overflow() -> None:
    described = describe(make_spec(outputs=2), np.array([1e30, -1e30], np.float32))
    assert described["probabilities"] == {"class0": 1.0, "class1": 0.0}


def test_a_calendar_of_no_time_is_refused() -> None:
    """C counts days in 32 bits."""
    calendar = (Calendar("t", ("hour",)),)
    far = re.escape("mean of the time 't' is 1e+12, expected up to 2e+11 seconds")
    with pytest.raises(BundleError, match=far):
        Channels(("t", "x"), (1e12, 0.0), (1.0, 1.0), transforms=calendar, drop=("t",))
    with pytest.raises(BundleError, match="'t' is the seconds since the sample before, expected"):
        Channels(("t", "x"), (1.0, 0.0), (1.0, 1.0), dt="t", transforms=calendar)
