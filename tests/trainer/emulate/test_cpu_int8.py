"""Fine-tuning for int8: the kernel's arithmetic, right gradients, and a run that keeps its gain."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_lstm import load_run, train
from edge_lstm.cli.train import closing
from edge_lstm.config.common import QuantizeConfig
from edge_lstm.config.schema import Config
from edge_lstm.config.sections import CarriedTrainConfig
from edge_lstm.emulate import cpu_int8
from edge_lstm.emulate.cpu_int8 import Int8Net, grid_weights
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm.training.qat import settings
from edge_lstm_export.quantize.cpu_int8 import quantize
from edge_lstm_export.steps.quantize_native import fine_tuned, of_run
from edge_lstm_runtime import TrainingError
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8
from helpers.configs import CLASSIFY, FORECAST
from helpers.interrupt import interrupt
from helpers.specs import plain_spec
from helpers.tolerances import assert_close

QUANTIZE = "\n[quantize]\nscheme = 'int8'\ntolerance = 0\nepochs = 3\nlearning_rate = 0.003\n"
LEARNT: dict[str, Any] = {
    "train__monitor": "rmse",
    "train__learning_rate": 0.02,
    "train__epochs": 10,
}


@pytest.mark.parametrize(("layers", "hidden", "channels"), [(1, 16, 1), (1, 13, 6), (2, 8, 3)])
def test_forward_is_the_kernels(layers: int, hidden: int, channels: int) -> None:
    torch.manual_seed(layers)
    spec = plain_spec(layers, hidden, channels=channels)
    net = Int8Net(spec).eval()
    x = torch.randn(3, 60, channels)
    x[0, 7] = 0
    with torch.no_grad():
        answers, state = net(x)
        parts = torch.cat([net(x[:, :25])[0], net(x[:, 25:], net(x[:, :25])[1])[0]], dim=1)
    backend = NativeBackend(spec, canonical_weights(net), "int8", streams=3)
    # float32 rounding of the gates alone. An h that falls between two steps may move by one of 127,
    # and none does here.
    assert_close(answers.transpose(0, 1), backend.run(x.transpose(0, 1).numpy()), "int8", "y")
    assert list(state) == list(backend.state)
    for name, theirs in backend.state.items():
        assert_close(state[name], theirs, "int8", name)
    torch.testing.assert_close(parts, answers, atol=1e-6, rtol=0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        # training in bf16 changes nothing here
        torch.testing.assert_close(net(x)[0], answers, atol=0, rtol=0)
    exact = CompactNet(spec)
    exact.load_state_dict(net.state_dict())
    assert (exact(x)[0] - answers).abs().max() > 1e-3  # the rounding is there


def test_gradients_are_those_of_the_lstm_where_nothing_is_rounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu_int8, "on_grid", lambda values: values.clone())
    torch.manual_seed(0)
    spec = plain_spec(2, 7)
    nets = [CompactNet(spec).double(), Int8Net(spec).double()]
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    start = {n: torch.randn(4, s, dtype=torch.float64) for n, s in spec.network.state.items()}
    weight = torch.randn(4, 9, 3, dtype=torch.float64)
    found = []
    for net in nets:
        state = {name: part.clone().requires_grad_() for name, part in start.items()}
        answers, after = net(x, state)
        assert list(after) == list(start)
        last = sum(part.square().sum() + part.sin().sum() for part in after.values())
        ((answers * weight).sum() + last).backward()
        slopes = [s.grad for s in state.values()]
        found.append([answers.detach(), *(p.grad for p in net.parameters()), *slopes])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


def test_weights_on_the_grid_stay_there_in_the_export() -> None:
    torch.manual_seed(3)
    spec = plain_spec(2, 24, channels=5)
    net = Int8Net(spec)
    net.load_state_dict(grid_weights(net, net.state_dict()))
    weights = canonical_weights(net)
    rng = np.random.default_rng(0)
    samples = {"x": rng.normal(size=(200, 5))}
    for name in ("lstm0", "lstm1"):
        samples[f"{name}.h"] = rng.uniform(-1, 1, (200, 24))
        samples[f"{name}.c"] = rng.normal(size=(200, 24))
    samples["x"][:, 1] = samples["x"][:, 0]  # GPTQ would move much between these two
    layers, _ = read_int8(
        spec, quantize(spec, weights, {k: v.astype(np.float32) for k, v in samples.items()})
    )
    for name, array in layers.items():
        np.testing.assert_allclose(array, weights[name], rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("forecast_csv")
def test_run_keeps_the_best_in_int8_on_the_grid(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    run = train(
        configure(FORECAST + QUANTIZE, train__learning_rate=0.01), tmp_path / "run", quiet=True
    )
    found = run.metrics["quantize"]
    assert (found["scheme"], found["epochs"]) == ("int8", 3)
    assert found["best_epoch"] >= 1  # this net is far from its best: any training helps
    for name, array in run.weights.items():
        if ".W_" in name:
            steps = array / (np.abs(array).max(axis=0) / 127)
            np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert run.metrics["test"] == found["after"]["float32"]["test"]
    assert found["after"]["int8"]["val"]["rmse"] < found["before"]["int8"]["val"]["rmse"]
    assert found["before"]["int8"]["test"]["rmse"] != found["before"]["float32"]["test"]["rmse"]
    kernel = NativeBackend(run.spec, run.weights, "int8")
    layers, steps = read_int8(run.spec, of_run(run))
    exported = NativeBackend(run.spec, {**run.weights, **layers}, "int8", steps=steps)
    assert f"fine-tuned on, in epoch {found['best_epoch']}" in str(fine_tuned(run))
    with torch.no_grad():
        net = Int8Net(run.spec)
        net.load_state_dict(run.model.state_dict())
        rows = run.spec.features(run.splits.test[0].x).astype(np.float32)
        np.testing.assert_allclose(
            net(torch.from_numpy(rows)[None])[0][0], answers := kernel.run(rows), atol=1e-4
        )
        np.testing.assert_allclose(exported.run(rows), answers, atol=1e-4)
    assert len((run.path / "int8" / "history.csv").read_text().splitlines()) == 4
    assert len(run.history) == 2
    assert f"{found['after']['int8']['test']['rmse']:.4g} fine-tuned" in closing(run)
    assert Config.from_dict(run.config.to_dict(), run.config.folder) == run.config


@pytest.mark.usefixtures("forecast_csv")
def test_where_no_epoch_helps_the_float_model_stays(
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
    before = torch.load(run.path / "float.pt", weights_only=True)["model"]
    for name, tensor in run.model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)
    assert run.metrics["quantize"]["before"] == run.metrics["quantize"]["after"]
    assert "rounded by GPTQ" in str(fine_tuned(run))


@pytest.mark.usefixtures("forecast_csv")
def test_where_rounding_costs_nothing_nothing_is_fine_tuned(
    configure: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(configure(FORECAST + "\n[quantize]\nscheme = 'int8'\n", **LEARNT), tmp_path / "run")
    found = run.metrics["quantize"]
    assert (
        found["before"]["int8"]["val"]["rmse"] < 1.005 * found["before"]["float32"]["val"]["rmse"]
    )
    assert (found["epochs"], found["best_epoch"]) == (0, 0)
    assert found["before"] == found["after"]
    assert not (run.path / "int8").exists()
    said = capsys.readouterr().err
    assert re.search(
        r"not done: rounding costs \S+ % of rmse and an NRMSE of \S+ on the validation split; 0.5 "
        r"% and 0.01 are allowed",
        said,
    )
    assert "not fine-tuned: rounding costs no more than `tolerance` allows" in closing(run)
    assert "rounding costs no more than `tolerance` allows, so nothing was fine-tuned" in str(
        fine_tuned(run)
    )
    assert train(run.config, run.path, resume=True, quiet=True).metrics == run.metrics


@pytest.mark.usefixtures("forecast_csv")
def test_answers_that_rounding_moves_are_won_back_though_the_metric_stays(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    config = configure(FORECAST + "\n[quantize]\nscheme = 'w8a8'\n", **LEARNT)
    run = train(config, tmp_path / "run", quiet=True)
    found = run.metrics["quantize"]
    assert (
        found["before"]["w8a8"]["val"]["rmse"] < 1.005 * found["before"]["float32"]["val"]["rmse"]
    )
    assert found["epochs"] == 2


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize("epochs", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_interrupted_while_fine_tuned_and_resumed_equals_uninterrupted(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    config = configure(CLASSIFY + QUANTIZE)
    expected = train(config, tmp_path / "whole", quiet=True)
    interrupt(config, tmp_path / "run", "int8", epochs, monkeypatch)
    resumed = train(config, tmp_path / "run", resume=True, quiet=True)
    assert resumed.metrics == expected.metrics
    (
        resumed.path / "metrics.json"
    ).unlink()  # as if killed before it was written: best.pt is the fine-tuned model already
    again = train(config, tmp_path / "run", resume=True, quiet=True)
    assert again.metrics == expected.metrics
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(array, again.weights[name])
    with pytest.raises(TrainingError, match=r"quantize\.epochs was 3 and is 4"):
        train(
            configure(CLASSIFY + QUANTIZE, quantize__epochs=4),
            tmp_path / "run",
            resume=True,
            quiet=True,
        )
    assert load_run(tmp_path / "run").metrics == expected.metrics


@pytest.mark.usefixtures("forecast_csv")
def test_training_goes_through_the_rounding(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a grid so coarse that it ruins the answers, most of the loss is won back."""
    monkeypatch.setattr(cpu_int8, "LEVELS", 1)
    settings = {
        "train__epochs": 20,
        "train__learning_rate": 0.02,
        "quantize__epochs": 20,
        "quantize__learning_rate": 0.01,
    }
    config = configure(FORECAST + QUANTIZE, **settings, quantize__tolerance=0.005)
    found = train(config, tmp_path / "run", quiet=True).metrics["quantize"]
    exact, rounded, tuned = (
        found[when][kind]["val"]["rmse"]
        for when, kind in (("before", "float32"), ("before", "int8"), ("after", "int8"))
    )
    assert rounded > 1.5 * exact
    assert tuned - exact < 0.5 * (rounded - exact)


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (5, 1), (30, 6)])
def test_defaults_follow_from_the_training(epochs: int, expected: int) -> None:
    found = settings(
        CarriedTrainConfig(epochs=epochs, learning_rate=0.02, carry=0.25),
        QuantizeConfig(scheme="int8"),
    )
    assert found == CarriedTrainConfig(epochs=expected, learning_rate=0.002, carry=0.25)
