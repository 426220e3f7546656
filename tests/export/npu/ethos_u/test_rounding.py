"""Weights for Ethos-U on the int8 grids of their columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_lstm_export.npu.ethos_u.conversion import Conversion
from edge_lstm_export.npu.ethos_u.rounding import multiplied, rounded
from edge_lstm_export.npu.ethos_u.targets import targets
from edge_lstm_runtime import Reference, compare
from helpers.calibration import calibration_for
from helpers.specs import feature_rows, mixed_spec, normed_spec, one_layer_spec
from helpers.weights import random_weights

SPECS = {
    "lstm": one_layer_spec("lstm"),
    "gru": one_layer_spec("gru", linear_before_reset=False),
    "conv": one_layer_spec("causal-conv", kernel=3),
    "norm": normed_spec("rnn"),
    "graph": mixed_spec(),
}


def nearest(W: Any) -> Any:
    """As the compiler's process rounds, in float32 as there."""
    scale = np.maximum(np.abs(W).max(axis=0), np.float32(1e-9)) / np.float32(127)
    return np.rint(W / scale) * scale


@pytest.fixture(params=SPECS)
def made(request):
    spec = SPECS[request.param]
    weights = random_weights(spec)
    return spec, weights, calibration_for(spec, weights, 400)


def test_the_compilers_process_rounds_nothing_more(made) -> None:
    spec, weights, samples = made
    found = rounded(spec.network, weights, samples)
    products = multiplied(spec.network, weights, samples)
    assert found.keys() == weights.keys()
    assert products.keys() <= weights.keys()
    for name, W in found.items():
        assert W.dtype == np.float32
        if name in products:
            np.testing.assert_allclose(nearest(W), W, rtol=1e-5)
            assert np.array_equal(np.abs(W).max(axis=0), np.abs(weights[name]).max(axis=0))
        else:
            assert W is weights[name]


def test_its_products_change_no_more_than_with_the_nearest(made) -> None:
    spec, weights, samples = made
    found = rounded(spec.network, weights, samples)
    for name, v in multiplied(spec.network, weights, samples).items():
        right = v @ weights[name].astype(np.float64)
        ours, plain = (np.mean((v @ W - right) ** 2) for W in (found[name], nearest(weights[name])))
        # Inputs that have nothing to do with each other can't make up for an error.
        assert ours <= 1.001 * plain, name


def test_the_matrices_are_those_that_the_cell_multiplies() -> None:
    """W_n of such a GRU gets r * h, and not h."""
    spec = SPECS["gru"]
    weights = random_weights(spec)
    samples = calibration_for(spec, weights, 50)
    found = multiplied(spec.network, weights, samples)
    assert set(found) == {"r0.W_x", "r0.W_h", "r0.W_n", "head.W"}
    assert np.array_equal(found["r0.W_x"], samples["x"])
    assert np.array_equal(found["r0.W_h"], samples["r0.h"])
    h = found["r0.W_h"]
    r = found["r0.W_n"][h != 0] / h[h != 0]
    assert 0 < r.min() < r.max() < 1


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_stream_is_nearer_to_the_exact_one(kind: str) -> None:
    spec = one_layer_spec(kind)
    ratios = []
    for seed in range(5):
        weights = random_weights(spec, seed)
        samples = calibration_for(spec, weights, 400)
        products = multiplied(spec.network, weights, samples)
        plain = {n: nearest(W) if n in products else W for n, W in weights.items()}
        rows = feature_rows(spec, 300)
        right = Reference(spec, weights).run(rows)
        errors = [
            compare(Reference(spec, some).run(rows), right).nrmse
            for some in (rounded(spec.network, weights, samples), plain)
        ]
        ratios.append(errors[0] / errors[1])
    assert np.median(ratios) < 0.9, ratios


def test_fine_keeps_the_weights_as_they_are() -> None:
    spec = SPECS["lstm"]
    weights = random_weights(spec)
    samples = calibration_for(spec, weights, 50)
    chip = targets()["ethos-u55-128"]
    for scheme, form in (("a16w8", "fine"), ("a16w8", "plain"), ("a8w8", "mixed")):
        found = Conversion(spec, weights, samples, chip, scheme, form).rounded()
        same = all(np.array_equal(found[name], weights[name]) for name in weights)
        assert same == (form == "fine")
