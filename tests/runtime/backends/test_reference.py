"""The reference against PyTorch in float64, every backend against the reference, weight layouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_lstm_export.layers.lstm import OPERATOR
from edge_lstm_runtime import Reference
from edge_lstm_runtime.layers.lstm import fused
from helpers.backends import open_any
from helpers.specs import make_spec
from helpers.tolerances import assert_close
from helpers.weights import from_torch, random_weights


def torch_model(
    inputs: int, hidden: int, layers: int, outputs: int, seed: int
) -> tuple[torch.nn.LSTM, torch.nn.Linear]:
    """In float64, of numbers that float32 holds exactly, so that only the arithmetic can differ.

    float32 also holds the sums of the two biases exactly.
    """
    generator = torch.Generator().manual_seed(seed)
    lstm = torch.nn.LSTM(inputs, hidden, layers, dtype=torch.float64)
    head = torch.nn.Linear(hidden, outputs, dtype=torch.float64)
    with torch.no_grad():
        for parameter in (*lstm.parameters(), *head.parameters()):
            values = (
                (torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 0.5)
                * 2
                / max(hidden, 4) ** 0.5
            )
            parameter.copy_((values * 4096).round() / 4096)
    return lstm, head


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("hidden", [1, 7, 64])
def test_reference_is_torch_lstm(hidden: int, layers: int) -> None:
    spec = make_spec(hidden=hidden, layers=layers)
    lstm, head = torch_model(
        spec.input_size, hidden, layers, spec.output_size, seed=10 * hidden + layers
    )
    reference = Reference(spec, from_torch(lstm, head))
    xs = np.random.default_rng(layers).standard_normal((150, spec.input_size))
    with torch.no_grad():
        sequence, (h, c) = lstm(torch.from_numpy(xs)[:, None])
        expected = head(sequence[:, 0])
    assert_close(reference.run(xs), expected.numpy(), "float64", "outputs")
    for k in range(layers):
        assert_close(reference.state[f"lstm{k}.h"], h[k, 0].numpy(), "float64", f"h of layer {k}")
        assert_close(reference.state[f"lstm{k}.c"], c[k, 0].numpy(), "float64", f"c of layer {k}")


@pytest.mark.parametrize("name", ["numpy", "onnx-fused", "onnx-cell", "rknn-adapter"])
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (7, 3), (64, 1), (64, 2), (32, 4)])
def test_backend_is_the_reference_over_1000_steps(name: str, hidden: int, layers: int) -> None:
    spec = make_spec(channels=5, hidden=hidden, layers=layers, outputs=3)
    weights = random_weights(spec, seed=hidden + layers)
    rows = np.random.default_rng(3).standard_normal((1000, spec.feature_size)).astype(np.float32)
    reference = Reference(spec, weights)
    backend = open_any(name, spec, weights)
    assert_close(backend.run(rows), reference.run(rows), "float32", f"{name} outputs")
    assert list(backend.state) == list(reference.state)
    for tensor, expected in reference.state.items():
        actual = backend.state[tensor]
        assert_close(actual, expected, "float32", f"{name} {tensor} after 1,000 steps")


def test_saturated_gates_stay_right() -> None:
    # Inputs a thousand deviations away drive every gate to its end, and exp() would overflow there.
    spec = make_spec(hidden=16, layers=2)
    weights = random_weights(spec)
    rows = (1000 * np.random.default_rng(5).standard_normal((50, spec.feature_size))).astype(
        np.float32
    )
    for name in ("numpy", "onnx-fused", "onnx-cell"):
        outputs = open_any(name, spec, weights).run(rows)
        # Pre-activations in the hundreds are rounded at 3e-5 each. Only gates between the ends feel
        # it.
        assert np.abs(outputs - Reference(spec, weights).run(rows)).max() < 1e-3, name


def test_the_fused_matrix_is_the_gates() -> None:
    spec = make_spec(hidden=6)
    weights = spec.network.own(spec.network.layers[0], random_weights(spec))
    x, h = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    x = x[:3]
    plain = np.split(x @ weights["W_x"] + h @ weights["W_h"] + weights["b"], 4)
    gates = dict(zip("ifgo", plain, strict=True))
    i, f, o, g = np.split(fused(weights) @ np.concatenate([x, [1.0], h]), 4)
    for name, value in {"i": 2 * i, "f": 2 * f, "o": 2 * o, "g": g}.items():
        assert_close(value, gates[name], "float32", f"gate {name}")
    assert fused(weights).flags.f_contiguous


def test_the_operands_of_the_onnx_operator_stand_in_its_order() -> None:
    """i, o, f, c, transposed, with two biases, as in ONNX's documentation of LSTM."""
    layer = make_spec(hidden=2).network.layers[0]
    columns = np.repeat([1, 2, 3, 4], 2)  # i, f, g, o
    weights = {
        "W_x": (10 * np.arange(3)[:, None] + columns).astype(np.float32),
        "W_h": (100 * np.arange(2)[:, None] + columns).astype(np.float32),
        "b": columns.astype(np.float32),
    }
    W, R, B = OPERATOR.arrays(layer, weights)
    rows = np.array([1, 1, 4, 4, 2, 2, 3, 3])
    np.testing.assert_array_equal(W, rows[:, None] + [0, 10, 20])
    np.testing.assert_array_equal(R, rows[:, None] + [0, 100])
    np.testing.assert_array_equal(B, [*rows, *[0] * 8])
