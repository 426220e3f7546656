"""Layer normalization. PyTorch is the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from helpers.arrays import Array, Weights
from helpers.plain_layers import backends, check_drift, check_formula, check_refused, spec_of
from helpers.tolerances import assert_close
from helpers.weights import normal_weights


def norm(**options: Any) -> dict[str, Any]:
    return {"type": "layer-norm", "name": "y", **options}


def by_torch(w: Weights, x: Array, epsilon: float = 1e-5) -> Array:
    a = torch.from_numpy(w["y.a"])
    b = torch.from_numpy(w["y.b"])
    rows = torch.from_numpy(x.copy())
    found: Array = torch.nn.functional.layer_norm(rows, a.shape, a, b, epsilon).numpy()
    return found


@pytest.mark.parametrize("features", [2, 4, 7, 33])
def test_formula(features: int) -> None:
    check_formula(spec_of(features, norm()), by_torch)


@pytest.mark.parametrize("epsilon", [0.5, 1])
def test_another_epsilon(epsilon: float) -> None:
    """1, as a whole number, is 1.0."""
    spec = spec_of(6, norm(epsilon=epsilon))
    check_formula(spec, lambda w, x: by_torch(w, x, epsilon))


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.567, 1e20])
def test_equal_values_give_b(value: float) -> None:
    """Whatever they are: the rounding of their mean is none of their difference."""
    spec = spec_of(11, norm())
    weights = normal_weights(spec)
    for name, backend in backends(spec, weights).items():
        if name in ("onnx-cell", "rknn-adapter"):
            continue  # ONNX Runtime has a mean of its own
        found = backend.step(np.full(11, value, np.float32))
        assert_close(found, weights["y.b"], "float32", name)


def test_large_offset() -> None:
    """A mean of 1e4 beside a deviation of 1."""
    spec = spec_of(8, norm())
    weights = normal_weights(spec)
    x = (1e4 + np.random.default_rng(1).normal(size=(20, 8))).astype(np.float32)
    exact = {name: w.astype(np.float64) for name, w in weights.items()}
    for name, backend in backends(spec, weights).items():
        if name not in ("onnx-cell", "rknn-adapter"):
            assert_close(backend.run(x), by_torch(exact, x.astype(np.float64)), "float32", name)


def test_drift() -> None:
    layers = {"type": "gru", "name": "g", "units": 9}, norm(inputs=["g"])
    check_drift(spec_of(3, *layers))


@pytest.mark.parametrize(
    ("epsilon", "shown"),
    [
        (0, "0, expected a number above 0"),
        (-1e-5, "-1e-05, expected a number above 0"),
        (float("nan"), "nan, expected a number above 0"),
        (float("inf"), "inf, expected a number above 0"),
        (True, "True, expected a number above 0"),
        ("1e-5", "'1e-5', expected a number above 0"),
        (1e-39, "1e-39, expected a number from 1.2e-38 on"),
    ],
)
def test_refused(epsilon: object, shown: str) -> None:
    told = f"network: layer 'y': epsilon is {shown}"
    check_refused(told, 3, norm(epsilon=epsilon))
