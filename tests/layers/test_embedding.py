"""Embedding: rows of a table. PyTorch is the judge for whole numbers, the definition for others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edge_lstm_runtime import native
from edge_lstm_runtime.backends.native import NativeBackend
from helpers.arrays import Array, Weights
from helpers.plain_layers import check_formula, check_refused, spec_of


def table(count: object, units: int, **options: Any) -> dict[str, Any]:
    return {"type": "embedding", "name": "y", "count": count, "units": units, **options}


@pytest.mark.parametrize(("count", "units"), [(1, 1), (2, 7), (9, 18)])
def test_whole_numbers(count: int, units: int) -> None:
    rows = np.random.default_rng(1).integers(0, count, (50, 1))

    def formula(w: Weights, x: Array) -> Array:
        numbers = torch.from_numpy(x[:, 0].astype(np.int64))
        found: Array = torch.nn.functional.embedding(numbers, torch.from_numpy(w["y.W"])).numpy()
        return found

    check_formula(spec_of(1, table(count, units)), formula, rows)


def test_between_and_beyond() -> None:
    x = np.concatenate([np.linspace(-3, 8, 60), [-1e30, 1e30, -1.0, 5.0, 4.999]])[:, None]

    def formula(w: Weights, x: Array) -> Array:
        padded = np.concatenate([np.zeros((1, 6)), w["y.W"], np.zeros((1, 6))])
        places = np.arange(-1, 6)  # of 5 rows, with a row of zeros on each side
        return np.stack([np.interp(x[:, 0], places, column) for column in padded.T], axis=1)

    check_formula(spec_of(1, table(5, 6)), formula, x)


@pytest.mark.parametrize("kernel", native.kernels() if native.LIBRARY.exists() else ())
def test_a_number_that_another_layer_made(kernel: str) -> None:
    """It may be no number at all, and no place outside of the table is read."""
    scale = {"type": "scale", "name": "s"}
    spec = spec_of(1, scale, {**table(3, 2), "inputs": ["s"]})
    W = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
    a = np.full(1, 8e37, np.float32)
    weights = {"s.a": a, "s.b": np.zeros(1, np.float32), "y.W": W}
    backend = NativeBackend(spec, weights, kernel=kernel)
    for x in (3e38, -3e38, 1.0, -1.0):
        np.testing.assert_array_equal(backend.step(np.array([x], np.float32)), [0, 0])
    np.testing.assert_array_equal(backend.step(np.zeros(1, np.float32)), [1, 2])
    # Infinity less infinity is no number.
    other = {"type": "scale", "name": "o"}
    both = {"type": "combine", "name": "b", "inputs": ["s", "o"], "operation": "add"}
    spec = spec_of(1, scale, other, both, {**table(3, 2), "inputs": ["b"]})
    weights |= {"o.a": -a, "o.b": np.zeros(1, np.float32)}
    backend = NativeBackend(spec, weights, kernel=kernel)
    assert np.isnan(backend.step(np.full(1, 3e38, np.float32))).all()
    np.testing.assert_array_equal(backend.step(np.ones(1, np.float32)), [1, 2])


def test_refused() -> None:
    check_refused(
        "network: layer 'y': reads 2 values, expected one, the number of a row", 2, table(5, 3)
    )
    check_refused(
        "network: layer 'y': reads 2 values, expected one, the number of a row",
        1,
        table(5, 3, inputs=["x", "x"]),
    )
    check_refused(
        "network: layer 'y': count is 0, expected a whole number from 1 to 16384", 1, table(0, 3)
    )
