"""The reference against PyTorch's own LSTM in float64; every backend against the reference; the weight layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edge_lstm_runtime import Reference
from edge_lstm_runtime.layers.layout import GATES, ONNX_GATES, from_torch, fused, gate, reorder, to_onnx
from helpers.backends import open_any
from helpers.specs import make_spec
from helpers.tolerances import assert_close
from helpers.weights import random_weights


def torch_model(inputs: int, hidden: int, layers: int, outputs: int, seed: int) -> tuple[torch.nn.LSTM, torch.nn.Linear]:
    """In float64, of numbers that float32 holds exactly, the sums of the two biases included: then only the arithmetic can differ."""
    generator = torch.Generator().manual_seed(seed)
    lstm, head = torch.nn.LSTM(inputs, hidden, layers, dtype=torch.float64), torch.nn.Linear(hidden, outputs, dtype=torch.float64)
    with torch.no_grad():
        for parameter in (*lstm.parameters(), *head.parameters()):
            values = (torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 0.5) * 2 / max(hidden, 4) ** 0.5
            parameter.copy_((values * 4096).round() / 4096)
    return lstm, head


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("hidden", [1, 7, 64])
def test_reference_is_torch_lstm(hidden: int, layers: int) -> None:
    spec = make_spec(hidden=hidden, layers=layers)
    lstm, head = torch_model(spec.input_size, hidden, layers, spec.output_size, seed=10 * hidden + layers)
    arrays = [{name: tensor.numpy() for name, tensor in module.state_dict().items()} for module in (lstm, head)]
    reference = Reference(spec, from_torch(arrays[0], arrays[1], layers))
    xs = np.random.default_rng(layers).standard_normal((150, spec.input_size))
    with torch.no_grad():
        sequence, (h, c) = lstm(torch.from_numpy(xs)[:, None])
        expected = head(sequence[:, 0])
    assert_close(reference.run(xs), expected.numpy(), "float64", "outputs")
    assert_close(reference.state[0], h[:, 0].numpy(), "float64", "h")
    assert_close(reference.state[1], c[:, 0].numpy(), "float64", "c")


@pytest.mark.parametrize("name", ["numpy", "onnx-lstm", "onnx-cell", "rknn-adapter"])
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (7, 3), (64, 1), (64, 2), (32, 4)])
def test_backend_is_the_reference_over_1000_steps(name: str, hidden: int, layers: int) -> None:
    spec = make_spec(channels=5, hidden=hidden, layers=layers, outputs=3)
    weights = random_weights(spec, seed=hidden + layers)
    rows = np.random.default_rng(3).standard_normal((1000, spec.feature_size)).astype(np.float32)
    reference, backend = Reference(spec, weights), open_any(name, spec, weights)
    assert_close(backend.run(rows), reference.run(rows), "float32", f"{name} outputs")
    for tensor, actual, expected in zip("hc", backend.state, reference.state, strict=True):
        assert_close(actual, expected, "float32", f"{name} {tensor} after 1,000 steps")


def test_saturated_gates_stay_right() -> None:
    # Inputs a thousand deviations away drive every gate to its end; exp() would overflow there.
    spec = make_spec(hidden=16, layers=2)
    weights = random_weights(spec)
    rows = (1000 * np.random.default_rng(5).standard_normal((50, spec.feature_size))).astype(np.float32)
    for name in ("numpy", "onnx-lstm", "onnx-cell"):
        outputs = open_any(name, spec, weights).run(rows)
        # The pre-activations, of hundreds, are rounded at 3e-5 each; only gates between the ends feel it.
        assert np.abs(outputs - Reference(spec, weights).run(rows)).max() < 1e-3, name


class TestLayout:
    def test_from_torch_transposes_and_sums(self) -> None:
        lstm, head = torch_model(3, 5, 2, 4, seed=1)
        weights = from_torch({k: v.numpy() for k, v in lstm.state_dict().items()}, {k: v.numpy() for k, v in head.state_dict().items()}, 2)
        spec = make_spec(hidden=5, layers=2)
        spec.check_weights(weights)
        back = {}
        for k in range(2):
            back[f"weight_ih_l{k}"] = torch.from_numpy(weights[f"layer{k}.W_x"].T.astype(np.float64))
            back[f"weight_hh_l{k}"] = torch.from_numpy(weights[f"layer{k}.W_h"].T.astype(np.float64))
            back[f"bias_ih_l{k}"] = torch.from_numpy(weights[f"layer{k}.b"].astype(np.float64))
            back[f"bias_hh_l{k}"] = torch.zeros(20, dtype=torch.float64)
        again = torch.nn.LSTM(3, 5, 2, dtype=torch.float64)
        again.load_state_dict(back)
        xs = torch.randn(20, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            assert_close(again(xs)[0].numpy(), lstm(xs)[0].numpy(), "float64", "torch after the round trip")

    def test_gates_stand_in_torch_order(self) -> None:
        columns = np.repeat(np.arange(4), 3)[None]
        assert [int(gate(columns, name)[0, 0]) for name in GATES] == [0, 1, 2, 3]

    def test_reorder_round_trip(self) -> None:
        array = np.arange(2 * 4 * 5).reshape(2, 20)
        there = reorder(array, ONNX_GATES)
        # In the reordered array the canonical names point at ONNX's blocks: i, o, f, g.
        back = np.concatenate([gate(there, GATES[ONNX_GATES.index(name)]) for name in GATES], axis=-1)
        assert (back == array).all()
        assert not (there == array).all()

    def test_to_onnx_round_trip(self) -> None:
        spec = make_spec(hidden=6)
        weights = random_weights(spec)
        W, R, B = to_onnx(weights, 0)
        assert (W.shape, R.shape, B.shape) == ((1, 24, 3), (1, 24, 6), (1, 48))
        order = [ONNX_GATES.index(name) for name in GATES]

        def canonical(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            blocks = np.split(array, 4, axis=0)
            return np.concatenate([blocks[k] for k in order]).T

        assert (canonical(W[0]) == weights["layer0.W_x"]).all()
        assert (canonical(R[0]) == weights["layer0.W_h"]).all()
        assert (canonical(B[0, :24]) == weights["layer0.b"]).all()
        assert not B[0, 24:].any()

    def test_fused_is_the_gates(self) -> None:
        spec = make_spec(hidden=6)
        weights = random_weights(spec)
        x, h = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
        x = x[:3]
        plain = x @ weights["layer0.W_x"] + h @ weights["layer0.W_h"] + weights["layer0.b"]
        i, f, o, g = np.split(fused(weights, 0) @ np.concatenate([x, [1.0], h]), 4)
        for name, value in {"i": 2 * i, "f": 2 * f, "o": 2 * o, "g": g}.items():
            assert_close(value, gate(plain, name), "float32", f"gate {name}")
        assert fused(weights, 0).flags.f_contiguous
