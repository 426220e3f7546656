"""Combine: sums and products of layers of one size, and layers side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers.arrays import Array, Weights
from helpers.plain_layers import check_formula, check_refused, spec_of


def dense(name: str, units: int) -> dict[str, Any]:
    return {"type": "dense", "name": name, "units": units}


def combine(operation: object, *inputs: str) -> dict[str, Any]:
    return {"type": "combine", "name": "y", "inputs": list(inputs), "operation": operation}


@pytest.mark.parametrize("features", [1, 3, 17])
@pytest.mark.parametrize("operation", ["add", "mul"])
def test_three_of_one_size(operation: str, features: int) -> None:
    layers = dense("a", features), dense("b", features), combine(operation, "a", "x", "b")

    def formula(w: Weights, x: Array) -> Array:
        a = x @ w["a.W"] + w["a.b"]
        b = x @ w["b.W"] + w["b.b"]
        return a + x + b if operation == "add" else a * x * b

    check_formula(spec_of(features, *layers), formula)


def test_side_by_side() -> None:
    def formula(w: Weights, x: Array) -> Array:
        return np.concatenate([x @ w["a.W"] + w["a.b"], x, x], axis=1)

    check_formula(spec_of(3, dense("a", 18), combine("concat", "a", "x", "x")), formula)


def test_of_one_input() -> None:
    check_formula(spec_of(5, combine("add", "x")), lambda _, x: x)


def test_refused() -> None:
    check_refused(
        "network: layer 'y': add reads inputs of the sizes [4, 3], expected the same size",
        3,
        dense("a", 4),
        combine("add", "a", "x"),
    )
    check_refused(
        "network: layer 'y': operation is 'sub', expected one of 'add', 'mul', 'concat'",
        3,
        combine("sub", "x"),
    )
    check_refused(
        "network: layer 'y': initial has the sizes [1], expected []",
        1,
        {**combine("add", "x"), "initial": [[0.0]]},
    )
