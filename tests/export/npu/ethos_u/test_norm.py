"""Layer normalization on integers, in PyTorch, against the formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_lstm_export.npu.ethos_u.compiler.step import answers, quantized
from edge_lstm_export.npu.ethos_u.compiler.tape import FORMS
from edge_lstm_runtime import Reference, compare
from edge_lstm_runtime.model.network import network_from
from helpers.calibration import calibration_for
from helpers.specs import feature_rows, normed_spec
from helpers.weights import random_weights

COUNT = 16


def of_rows(given, calibration, scheme="a16w8", form="fine", epsilon=1e-5):
    """(found, expected) for rows (N, COUNT), by a net of one layer."""
    one = {"type": "layer-norm", "name": "norm", "inputs": ["x"], "epsilon": epsilon}
    network = network_from(COUNT, [one])
    rng = np.random.default_rng(3)
    weights = {
        "norm.a": (1 + 0.3 * rng.normal(size=COUNT)).astype(np.float32),
        "norm.b": rng.normal(size=COUNT).astype(np.float32),
    }
    step = quantized(network, weights, FORMS[scheme][form], {"x": calibration.astype(np.float32)})
    x = given.astype(np.float64)
    centered = x - x.mean(1, keepdims=True)
    root = np.sqrt((centered**2).mean(1, keepdims=True) + epsilon)
    expected = centered / root * weights["norm.a"] + weights["norm.b"]
    return answers(step, {"x": given.astype(np.float32)})["y"], expected


def drawn(seed, ratio, mean=0.0, steps=300):
    """Rows whose variances are of this ratio at most, even in the logarithm."""
    rng = np.random.default_rng(seed)
    sizes = ratio ** rng.uniform(-0.5, 0, size=(steps, 1))
    return mean + sizes * rng.normal(size=(steps, COUNT))


@pytest.mark.parametrize(
    ("ratio", "mean", "limit"),
    [(1, 0, 5e-4), (100, 0, 1e-3), (10_000, 0, 5e-3), (1, 10, 2e-3), (100, 10, 1e-2)],
)
def test_rows_of_unequal_variance(ratio, mean, limit):
    found, expected = of_rows(drawn(0, ratio, mean), drawn(1, ratio, mean))
    errors = np.sqrt(((found - expected) ** 2).mean(1))
    assert np.sqrt((errors**2).mean()) / expected.std() < limit
    assert errors.max() < 10 * limit


@pytest.mark.parametrize("seen", [True, False], ids=["seen in calibration", "not seen"])
def test_equal_values_give_the_shift(seen):
    """Where epsilon is all that there is to divide by. A rounding would be 300 times as large."""
    equal = np.linspace(-2, 2, 41)[:, None] * np.ones(COUNT)
    calibration = drawn(1, 100)
    if seen:
        calibration = np.concatenate([calibration, equal[::5]])
    found, expected = of_rows(equal, calibration)
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("epsilon", [1e-9, 1.2e-38])
def test_equal_values_take_no_steps_from_the_others(epsilon):
    """Here they are divided by next to nothing."""
    rows = np.concatenate([np.ones((20, COUNT)), drawn(0, 100)])
    found, expected = of_rows(rows, rows, epsilon=epsilon)
    assert compare(found, expected).nrmse < 1e-3


def test_small_rows_are_divided_by_epsilon():
    """Variances about epsilon and below it."""
    rows = drawn(0, 1000, steps=100)
    found, expected = of_rows(rows, drawn(1, 1000), epsilon=0.05)
    assert compare(found, expected).nrmse < 1e-3
    _, without = of_rows(rows, drawn(1, 1000), epsilon=1e-5)
    assert compare(without, expected).nrmse > 0.1


def test_rows_twice_as_far_as_in_calibration():
    """A row is not cut off on its way."""
    found, expected = of_rows(1.9 * drawn(0, 1), drawn(1, 1))
    assert compare(found, expected).nrmse < 1e-3


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    ("scheme", "form", "limit"), [("a16w8", "fine", 1e-3), ("a8w8", "mixed", 2e-2)]
)
def test_behind_a_recurrent_layer(kind, scheme, form, limit):
    spec = normed_spec(kind)
    weights = random_weights(spec)
    step = quantized(
        spec.network, weights, FORMS[scheme][form], calibration_for(spec, weights, 300)
    )
    reference = Reference(spec, weights)
    states = [step.whole(n, np.zeros((1, size))) for n, size in spec.network.state.items()]
    found = []
    rows = feature_rows(spec, 60)
    with torch.no_grad():
        for row in rows:
            y, *states = step(step.whole("x", row[None]), *states)
            found.append(step.real("y", y).numpy()[0])
    assert compare(np.stack(found), reference.run(rows)).nrmse < limit
