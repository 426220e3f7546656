"""Causal convolution. PyTorch's conv1d with a padded start is the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from helpers.arrays import Array, Weights
from helpers.plain_layers import ACTIVATIONS, check_drift, check_formula, check_refused, spec_of


def conv(units: int, kernel: object, dilation: object = 1, **options: Any) -> dict[str, Any]:
    layer = {"type": "causal-conv", "name": "y", "units": units, "kernel": kernel}
    return {**layer, "dilation": dilation, **options}


def by_torch(
    W: Array, b: Array, x: Array, kernel: int, dilation: int, past: Array | None = None
) -> Array:
    """W (kernel inputs, units), x (T, inputs), past (steps, inputs) -> sums (T, units)."""
    before = np.zeros(((kernel - 1) * dilation, x.shape[1])) if past is None else past
    rows = torch.from_numpy(np.concatenate([before, x]).T[None].copy())
    weight = torch.from_numpy(W.reshape(kernel, x.shape[1], -1).transpose(2, 1, 0).copy())
    found = torch.nn.functional.conv1d(rows, weight, torch.from_numpy(b), dilation=dilation)
    array: Array = found[0].numpy().T
    return array


@pytest.mark.parametrize(
    ("features", "units", "kernel", "dilation"),
    [(1, 1, 2, 1), (3, 5, 3, 1), (5, 18, 2, 9), (2, 3, 5, 4), (17, 4, 3, 2)],
)
def test_formula(features: int, units: int, kernel: int, dilation: int) -> None:
    spec = spec_of(features, conv(units, kernel, dilation))
    check_formula(spec, lambda w, x: by_torch(w["y.W"], w["y.b"], x, kernel, dilation))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation(activation: str) -> None:
    spec = spec_of(3, conv(7, 3, 2, activation=activation))

    def formula(w: Weights, x: Array) -> Array:
        return ACTIVATIONS[activation](by_torch(w["y.W"], w["y.b"], x, 3, 2))

    check_formula(spec, formula)


def test_a_past_that_is_not_zero() -> None:
    past = np.random.default_rng(4).normal(size=(4, 3)).round(2)
    spec = spec_of(3, conv(5, 3, 2, initial=[past.ravel().tolist()]))
    check_formula(spec, lambda w, x: by_torch(w["y.W"], w["y.b"], x, 3, 2, past))


def test_a_net_of_several() -> None:
    """Dilations 1, 2 and 4, each beside its input."""
    layers = [
        conv(6, 2, 2**k, name=f"c{k}", inputs=[f"s{k - 1}" if k else "x"], activation="relu")
        for k in range(3)
    ]
    sums = [
        {
            "type": "combine",
            "name": f"s{k}",
            "inputs": [f"c{k}", f"s{k - 1}" if k else "x"],
            "operation": "add",
        }
        for k in range(3)
    ]

    def formula(w: Weights, x: Array) -> Array:
        for k in range(3):
            x = x + np.maximum(by_torch(w[f"c{k}.W"], w[f"c{k}.b"], x, 2, 2**k), 0)
        return x

    network = [layer for pair in zip(layers, sums, strict=True) for layer in pair]
    check_formula(spec_of(6, *network), formula)


def test_drift() -> None:
    layers = conv(9, 3, 5, activation="tanh"), {"type": "gru", "name": "g", "inputs": ["y"]}
    check_drift(spec_of(3, layers[0], {**layers[1], "units": 7}))


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (
            conv(3, 1),
            "kernel is 1 and dilation 1, so its past has 0 values; expected 1 to 1,048,576",
        ),
        (
            conv(3, 16384, 16384),
            "kernel is 16384 and dilation 16384, so its past has 805,257,216 values; "
            "expected 1 to 1,048,576",
        ),
        (conv(3, 0), "kernel is 0, expected a whole number from 1 to 16384"),
        (conv(3, 2.0), "kernel is 2.0, expected a whole number from 1 to 16384"),
        (conv(3, 2, True), "dilation is True, expected a whole number from 1 to 16384"),
        (conv(3, 2, initial=[[1.0]]), "initial has the sizes [1], expected [3]"),
        (conv(3, 2, initial=[[0.0] * 3] * 2), "initial has the sizes [3, 3], expected [3]"),
        (
            conv(3, 2, initial=[0.0] * 3),
            "initial is (0.0, 0.0, 0.0), expected a list of finite numbers for each state",
        ),
        (
            conv(3, 2, initial=[[0.0, [1.0], 0.0]]),
            "initial is ((0.0, (1.0,), 0.0),), expected a list of finite numbers for each state",
        ),
        (
            conv(3, 2, initial=[[0.0, float("nan"), 0.0]]),
            "initial is ((0.0, nan, 0.0),), expected a list of finite numbers for each state",
        ),
        (
            conv(3, 2, initial=[[0.0, 1e39, 0.0]]),
            "initial is ((0.0, 1e+39, 0.0),), expected a list of finite numbers for each state",
        ),
        (
            conv(3, 2, initial=[[0.0, "1", True]]),
            "initial is ((0.0, '1', True),), expected a list of finite numbers for each state",
        ),
    ],
)
def test_refused(layer: dict[str, Any], told: str) -> None:
    check_refused(f"network: layer 'y': {told}", 3, layer)
