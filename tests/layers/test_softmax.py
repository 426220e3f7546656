"""Softmax. SciPy's formula by hand, on values that would overflow too."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.arrays import Array, Weights
from helpers.plain_layers import check_formula, check_refused, spec_of

LAYER = {"type": "softmax", "name": "y"}


def formula(w: Weights, x: Array) -> Array:  # noqa: ARG001
    logarithm = x - np.logaddexp.reduce(x, axis=1)[:, None]
    return np.exp(logarithm)


@pytest.mark.parametrize("features", [1, 3, 8, 21])
def test_formula(features: int) -> None:
    check_formula(spec_of(features, LAYER), formula)


def test_large_values() -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(50, 6)) * 10.0 ** rng.integers(0, 30, (50, 1))).astype(np.float32)
    check_formula(spec_of(6, LAYER), formula, x)


def test_refused() -> None:
    check_refused(
        "network: layer 'y': initial has the sizes [3], expected []",
        3,
        {**LAYER, "initial": [[0, 0, 0]]},
    )
