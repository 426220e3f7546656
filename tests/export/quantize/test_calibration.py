"""The samples that the quantizer sees, and the ranges that it takes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_lstm import Run
from edge_lstm.emulate.npu_ranges import whole_range
from edge_lstm_export.npu.rknn.prepare import learned
from edge_lstm_export.quantize import choose_ranges
from edge_lstm_export.quantize.calibration import calibrate
from edge_lstm_export.quantize.choose_ranges import choose
from edge_lstm_export.quantize.npu_int8 import emulate, quantize
from edge_lstm_runtime import ModelSpec, Reference
from helpers.arrays import Array, Weights
from helpers.weights import random_model

Model = tuple[ModelSpec, Weights]


def recordings(lengths: list[int], channels: int = 3) -> list[Array]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(length, channels)) for length in lengths]


def test_all_steps_are_samples_up_to_8192() -> None:
    spec, weights = random_model(2, 8, channels=3)
    samples = calibrate(spec, weights, recordings([300] * 8), list("abababab"))
    assert len(samples["x"]) == 2 * 8 * 300  # reset and carried
    states = {"lstm0.h": (8,), "lstm0.c": (8,), "lstm1.h": (8,), "lstm1.c": (8,)}
    assert {name: array.shape[1:] for name, array in samples.items()} == {"x": (3,), **states}
    many = calibrate(spec, weights, recordings([1500] * 8), list("abababab"))
    assert len(many["x"]) == 8192


def by_hand(model: Model, rule: str, xs: list[Array], carried: list[Array]) -> float:
    """The larger NRMSE of both passes, a recording at a time."""
    spec, weights = model
    products = quantize(
        spec, weights, calibrate(spec, weights, xs, list("abc")), choose_ranges.RULES[rule]
    )

    def error(streams: list[Array]) -> float:
        right = np.concatenate([Reference(spec, weights).run(x) for x in streams])
        found = [emulate(spec, weights, [products], x[None])[0, 0] for x in streams]
        return float(np.sqrt(((np.concatenate(found) - right) ** 2).mean()) / right.std())

    return max(error(xs), error(carried))


def test_the_rule_with_the_least_streamed_error_is_taken() -> None:
    model = random_model(1, 12, channels=3)
    xs = recordings([40, 90, 200])
    calibration = calibrate(*model, xs, list("abc"))
    chosen = choose(*model, calibration, xs)
    order = np.random.default_rng(0).permutation(3)
    carried = [np.concatenate([xs[n] for n in order])]
    assert list(chosen.errors) == list(choose_ranges.RULES)
    for rule, error in chosen.errors.items():
        assert error == pytest.approx(by_hand(model, rule, xs, carried), rel=1e-9)
    assert chosen.errors[chosen.rule] == min(chosen.errors.values())
    own = quantize(*model, calibration, choose_ranges.RULES[chosen.rule])["lstm0"]
    np.testing.assert_array_equal(chosen.products["lstm0"].weights, own.weights)


def test_a_rule_that_clips_what_matters_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 6,000 steps are streamed: an error behind them is not seen."""
    model = random_model(1, 12, channels=3)
    xs = recordings([300, 300])
    calibration = calibrate(*model, xs, list("ab"))
    rules = {
        "narrow": lambda sums, _: whole_range(sums, 0.3),
        "whole": lambda sums, _: whole_range(sums, 1.0),
    }
    monkeypatch.setattr(choose_ranges, "RULES", rules)
    chosen = choose(*model, calibration, xs)
    assert chosen.rule == "whole"
    assert chosen.errors["narrow"] > 5 * chosen.errors["whole"]
    monkeypatch.setattr(choose_ranges, "STREAMED", 100)
    fewer = choose(*model, calibration, xs).errors["whole"]
    first = choose(*model, calibration, [xs[0][:100], xs[1][:0]][:1]).errors["whole"]
    assert first <= fewer


def test_a_range_clips_no_sum() -> None:
    sums = np.array([[-3.0, 1.0, 0.5], [5.0, 1.0, 0.25]])
    scale, centre = whole_range(sums, 1.5)
    np.testing.assert_allclose(scale, [6.0, 1.5e-3, 0.1875])
    np.testing.assert_allclose(centre, [1.0, 1.0, 0.375])


def test_ranges_of_a_product_that_had_the_features_in_it_are_not_used(trained: Run) -> None:
    ranges = {"lstm0.scale": np.ones(4, np.float32), "lstm0.centre": np.ones(4, np.float32)}
    for found, expected in (
        ({}, False),
        (ranges, True),
        ({**ranges, "x_range": np.ones(2, np.float32)}, False),
    ):
        assert learned(dataclasses.replace(trained, w8a8=found)) is expected
