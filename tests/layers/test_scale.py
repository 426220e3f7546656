"""Scale: x a + b for each value by itself, with an activation. A batch normalization is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.arrays import Array, Weights
from helpers.plain_layers import ACTIVATIONS, check_formula, check_refused, spec_of


@pytest.mark.parametrize("features", [1, 5, 19])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_formula(activation: str, features: int) -> None:
    layer = {"type": "scale", "name": "y", "activation": activation}

    def formula(w: Weights, x: Array) -> Array:
        return ACTIVATIONS[activation](x * w["y.a"] + w["y.b"])

    check_formula(spec_of(features, layer), formula)


def test_a_batch_normalization() -> None:
    """As in PyTorch's, in evaluation."""
    norm = torch.nn.BatchNorm1d(6, dtype=torch.float64).eval()
    rng = np.random.default_rng(2)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor is not None
        tensor.data.copy_(torch.from_numpy(rng.uniform(0.5, 2, 6).astype(np.float32)))
    weight, bias, mean, variance = (
        tensor.detach().numpy()
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        if tensor is not None
    )
    a = (weight / np.sqrt(variance + norm.eps)).astype(np.float32)
    b = (bias - mean * weight / np.sqrt(variance + norm.eps)).astype(np.float32)
    x = rng.normal(size=(50, 6)).astype(np.float32)
    with torch.inference_mode():
        expected = norm(torch.from_numpy(x).double()).numpy()

    def formula(w: Weights, x: Array) -> Array:
        found: Array = x * w["y.a"] + w["y.b"]
        assert np.abs(found - expected).max() < 1e-6  # a and b are rounded to float32
        return found

    check_formula(spec_of(6, {"type": "scale", "name": "y"}), formula, x, {"y.a": a, "y.b": b})


def test_refused() -> None:
    check_refused(
        "network: layer 'y': activation is 'gelu', expected one of "
        "'none', 'tanh', 'relu', 'sigmoid'",
        3,
        {"type": "scale", "name": "y", "activation": "gelu"},
    )
