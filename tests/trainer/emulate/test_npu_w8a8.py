"""Fine-tuning for w8a8: the arithmetic of the NPU's int8 cell, right gradients, and the export.

The export answers as training did.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_lstm import load_run, train
from edge_lstm.cli.train import closing
from edge_lstm.config.schema import Config
from edge_lstm.emulate import npu_w8a8
from edge_lstm.emulate.npu_w8a8 import NpuNet, settled, starting_ranges
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm_export.quantize import npu_int8
from edge_lstm_export.steps.quantize_native import fine_tuned
from edge_lstm_runtime import ModelSpec, Reference, compare
from edge_lstm_runtime.backends.rknn.packing import PINS
from helpers.configs import CLASSIFY, FORECAST
from helpers.interrupt import interrupt
from helpers.specs import plain_spec

QUANTIZE = "\n[quantize]\nscheme = 'w8a8'\ntolerance = 0\nepochs = 3\nlearning_rate = 0.003\n"


def calibrated(spec: ModelSpec, seed: int = 0) -> tuple[NpuNet, dict[str, Tensor]]:
    """A random net with the ranges of random sequences, a few moved as training moves them."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    plain = CompactNet(spec)
    sequences = [SimpleNamespace(x=rng.normal(size=(80, spec.input_size))) for _ in range(20)]
    start = plain.state_dict()
    state = start | starting_ranges(spec, start, sequences)  # type: ignore[arg-type]
    net = NpuNet(spec).eval()
    net.load_state_dict(state)
    with torch.no_grad():
        for layer, width in net.width.items():
            width.add_(0.1 * torch.randn_like(width))
            net.shift[layer].add_(0.1 * torch.randn_like(net.shift[layer]))
    return net, net.state_dict()


@pytest.mark.parametrize(("layers", "hidden", "channels"), [(1, 16, 1), (1, 13, 6), (2, 8, 3)])
def test_forward_is_the_int8_cells_and_the_export_has_its_integers(
    layers: int, hidden: int, channels: int
) -> None:
    """Against NumPy in float64, from the weights and ranges that a run keeps."""
    spec = plain_spec(layers, hidden, channels=channels)
    net, state = calibrated(spec, layers)
    weights, learned = settled(spec, state)
    exact = CompactNet(spec)
    exact.load_state_dict(weights)
    canonical = canonical_weights(exact)
    ranges = {name: tensor.numpy() for name, tensor in learned.items()}
    wide = state["start_scale.lstm0"] * torch.exp(state["width.lstm0"])
    np.testing.assert_array_equal(ranges["lstm0.scale"], wide)
    products = npu_int8.learned_layers(spec, canonical, ranges)
    assert list(products) == [f"lstm{k}" for k in range(layers)]
    for layer, product in products.items():
        integers = product.weights[PINS:] / (product.weights[0] / 127)
        np.testing.assert_allclose(integers, np.rint(integers), atol=1e-6)
        assert np.abs(integers).max() == pytest.approx(127)
        q, step = net.integers(layer)
        in_units = product.weights[PINS:] * product.scale
        np.testing.assert_allclose((q * step).T.numpy(), in_units, rtol=1e-5, atol=1e-7)
        beside = canonical[f"{layer}.W_x"] if layer == "lstm0" else np.empty((0, 4 * hidden))
        np.testing.assert_array_equal(product.W_x, beside.astype(np.float16))
    rows = np.random.default_rng(9).normal(size=(60, channels)).astype(np.float32)
    rows[3] = 0
    rows[4] = 50  # which no range clips
    emulated = npu_int8.emulate(spec, canonical, [products], rows[None])[0, 0]
    with torch.no_grad():
        answers = net(torch.from_numpy(rows)[None])[0][0].numpy()
        # A sum that lies between two steps may fall the other way in float32, which then shows in
        # all that follows.
        assert np.median(np.abs(answers - emulated)) < 1e-5
        assert compare(answers, emulated).nrmse < 5e-3
        with torch.autocast("cpu", torch.bfloat16):
            np.testing.assert_array_equal(net(torch.from_numpy(rows)[None])[0][0].numpy(), answers)
    # the rounding is there
    assert compare(answers, Reference(spec, canonical).run(rows)).nrmse > 5e-3


def test_gradients_are_those_of_the_lstm_where_nothing_is_rounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(npu_w8a8, "_on_grid", lambda values: values.clone())
    monkeypatch.setattr(npu_w8a8, "_half", lambda values: values)
    monkeypatch.setattr(torch, "round", lambda values: values)
    spec = plain_spec(2, 7)
    ours = calibrated(spec)[0].double()
    plain = CompactNet(spec).double()
    plain.load_state_dict({name: ours.state_dict()[name] for name in plain.state_dict()})
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    start = {n: torch.randn(4, s, dtype=torch.float64) for n, s in spec.network.state.items()}
    weight = torch.randn(4, 9, 3, dtype=torch.float64)
    found = []
    for net in (plain, ours):
        state = {name: part.clone().requires_grad_() for name, part in start.items()}
        answers, after = net(x, state)
        assert list(after) == list(start)
        last = sum(part.square().sum() + part.sin().sum() for part in after.values())
        ((answers * weight).sum() + last).backward()
        found.append(
            [
                answers.detach(),
                *(net.get_parameter(n).grad for n, _ in plain.named_parameters()),
                *(s.grad for s in state.values()),
            ]
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)
    assert [name for name, _ in ours.width.items()] == ["lstm0", "lstm1"]
    for _, width in ours.width.items():
        torch.testing.assert_close(width.grad, torch.zeros_like(width), atol=1e-12, rtol=0)


def test_ranges_are_learned_by_what_they_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipped but not rounded, the answers are differentiable by the ranges.

    The gradients are compared with central differences in float64.
    """
    monkeypatch.setattr(npu_w8a8, "_on_grid", lambda values: values.clamp(-128 / 127, 1))
    spec = plain_spec(1, 5)
    net = calibrated(spec)[0].double()
    with torch.no_grad():
        net.width["lstm0"].sub_(1.5)  # far too narrow
    x = torch.randn(3, 12, 3, dtype=torch.float64)
    net(x)[0].sin().sum().backward()
    slow = (3 * 12 * 127) ** -0.5
    for parameter in (net.width["lstm0"], net.shift["lstm0"]):
        for column in (0, 6, 13, 19):
            with torch.no_grad():
                values = []
                for change in (1e-6, -1e-6):
                    parameter[column] += change
                    values.append(float(net(x)[0].sin().sum()))
                    parameter[column] -= change
            slope = (values[0] - values[1]) / 2e-6
            assert parameter.grad is not None
            # What is clipped by less than half a step counts as inside.
            assert float(parameter.grad[column]) / slow == pytest.approx(slope, rel=0.1, abs=2e-3)


@pytest.mark.usefixtures("forecast_csv")
def test_run_keeps_weights_and_ranges_for_the_export(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    run = train(
        configure(FORECAST + QUANTIZE, train__learning_rate=0.01), tmp_path / "run", quiet=True
    )
    found = run.metrics["quantize"]
    assert (found["scheme"], found["epochs"]) == ("w8a8", 3)
    assert found["best_epoch"] >= 1  # this net is far from its best: any training helps
    assert set(run.w8a8) == {"lstm0.scale", "lstm0.centre"}
    assert run.metrics["test"] == found["after"]["float32"]["test"]
    assert found["after"]["w8a8"]["val"]["rmse"] < found["before"]["w8a8"]["val"]["rmse"]
    assert f"{found['after']['w8a8']['test']['rmse']:.4g} fine-tuned" in closing(run)
    assert fine_tuned(run) is None  # of the native kernel
    state = torch.load(run.path / "w8a8" / "best.pt", weights_only=True)["model"]
    net = NpuNet(run.spec)
    net.load_state_dict(state)
    rows = run.spec.features(run.splits.test[0].x).astype(np.float32)
    with torch.no_grad():
        answers = net(torch.from_numpy(rows)[None])[0][0].numpy()
    products = npu_int8.learned_layers(run.spec, run.weights, run.w8a8)
    emulated = npu_int8.emulate(run.spec, run.weights, [products], rows[None])[0, 0]
    assert compare(emulated, answers).nrmse < 2e-3


@pytest.mark.usefixtures("forecast_csv")
def test_where_no_epoch_helps_there_are_no_ranges(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    config = configure(
        FORECAST + QUANTIZE,
        train__epochs=6,
        train__learning_rate=0.01,
        quantize__learning_rate=10.0,
    )
    run = train(config, tmp_path / "run", quiet=True)
    assert run.metrics["quantize"]["best_epoch"] == 0
    assert run.metrics["quantize"]["before"] == run.metrics["quantize"]["after"]
    assert run.w8a8 == {}


@pytest.mark.slow
@pytest.mark.usefixtures("classify_csv")
def test_interrupted_while_fine_tuned_and_resumed_equals_uninterrupted(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(CLASSIFY + QUANTIZE)
    expected = train(config, tmp_path / "whole", quiet=True)
    interrupt(config, tmp_path / "run", "w8a8", 2, monkeypatch)
    resumed = train(config, tmp_path / "run", resume=True, quiet=True)
    assert resumed.metrics == expected.metrics
    again = load_run(resumed.path)
    for name, array in (expected.weights | expected.w8a8).items():
        np.testing.assert_array_equal(array, (again.weights | again.w8a8)[name])
