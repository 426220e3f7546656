"""The layer of an int8 net that has the most error of its own."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm.emulate.npu_ranges import on_grid
from edge_lstm_export.quantize.calibration import calibrate
from edge_lstm_export.quantize.choose_ranges import Chosen, choose
from edge_lstm_export.quantize.npu_int8 import emulate
from edge_lstm_export.quantize.worst_stage import worst_stage
from edge_lstm_runtime import ModelSpec, Reference
from helpers.arrays import Array, Weights
from helpers.weights import random_model

XS = [np.random.default_rng(2).normal(size=(250, 3)).astype(np.float16).astype(np.float64)]


def chosen_of(spec: ModelSpec, weights: Weights) -> Chosen:
    return choose(spec, weights, calibrate(spec, weights, XS, ["a"]), XS)


def nrmse(spec: ModelSpec, weights: Weights, found: Array) -> float:
    right = Reference(spec, weights).run(XS[0])
    return float(np.sqrt(((found - right) ** 2).mean()) / right.std())


@pytest.mark.parametrize("worst", ["lstm0", "lstm1"])
def test_the_layer_with_large_sums_is_named(worst: str) -> None:
    """Sums that are so wide have coarse steps. A product that adds little has little error."""
    spec, weights = random_model(2, 10, channels=3)
    weights = {name: array.copy() for name, array in weights.items()}
    weights[f"{worst}.W_h"] *= 3
    if worst == "lstm1":
        weights["lstm0.W_h"] *= 0.05
    chosen = chosen_of(spec, weights)
    for name, error in chosen.alone.items():
        (found,) = emulate(spec, weights, [{name: chosen.products[name]}], XS[0][None])
        assert error == pytest.approx(nrmse(spec, weights, found[0]), rel=1e-9)
    assert chosen.worst == worst
    said = worst_stage(spec, chosen)
    inputs = "its own h" if worst == "lstm0" else "lstm0 and its own h"
    assert said.startswith(f"The int8 product of {worst}, with {inputs}, has the most error")
    assert f"NRMSE {chosen.alone[worst]:.1e} if it alone is in int8" in said
    part = max(chosen.parts, key=lambda name: chosen.parts[name])
    assert f"Most of it comes from its {part}" in said


def lstm(weights: Weights, chosen: Chosen, part: str) -> Array:
    """One LSTM and its head by the equations, one part of its int8 product rounded."""
    W_x, W_h, b = (weights[f"lstm0.{n}"].astype(np.float64) for n in ("W_x", "W_h", "b"))
    product = chosen.products["lstm0"]
    h = np.zeros(len(W_h))
    c = np.zeros(len(W_h))
    missed = np.zeros(len(W_h))
    found = []
    for x in XS[0]:
        v = h
        if part == "inputs":
            v = on_grid(h + missed)
            missed = h + missed - v
        inner = v @ W_h + b
        if part == "sums":
            inner = on_grid((inner - product.centre) / product.scale)
            inner = inner * product.scale + product.centre
        i, f, g, o = np.split(inner + x @ W_x, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        found.append(h @ weights["head.W"] + weights["head.b"])
    return np.stack(found)


def test_the_parts_of_a_product_are_rounded_one_at_a_time() -> None:
    spec, weights = random_model(1, 10, channels=3)
    chosen = chosen_of(spec, weights)
    assert list(chosen.parts) == ["weights", "inputs", "sums"]
    for part in ("inputs", "sums"):
        error = nrmse(spec, weights, lstm(weights, chosen, part))
        assert error > 1e-5
        assert chosen.parts[part] == pytest.approx(error, rel=1e-6)
    assert 0 < chosen.parts["weights"] < 0.05
