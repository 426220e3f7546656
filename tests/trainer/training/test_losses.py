"""Padding and unknown targets change nothing: not the loss, not a gradient, not a metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from edge_lstm import CompactNet, evaluate
from edge_lstm.data.examples import Examples
from edge_lstm.data.recordings import Sequence
from edge_lstm.data.windows import examples
from edge_lstm.results.answers import answers
from edge_lstm.tasks.base import task_of
from edge_lstm.tasks.classify import TrainSection as Classify
from edge_lstm.tasks.numbers import NumberTrainConfig as Numbers
from edge_lstm.training.loop import learning_rate
from edge_lstm.training.losses import Loss
from edge_lstm.training.metrics import Validation
from edge_lstm_runtime.model.spec import ModelSpec
from helpers.specs import changed, make_spec

BASE: dict[str, Any] = {"channels": ["a", "b"], "hidden": 5, "mean": [0.0, 1.0], "std": [1.0, 2.0]}
CLASSIFY = make_spec(**BASE, outputs=3)
FORECAST = changed(
    make_spec(**BASE, task="forecast", targets=["b"], outputs=2, missing="mask"),
    offset=(1.0, 1.5),
    scale=(2.0, 3.0),
)
LENGTHS = (9, 4, 7, 6)


def sequences(spec: ModelSpec) -> list[Sequence]:
    rng = np.random.default_rng(0)
    made = []
    for k, length in enumerate(LENGTHS):
        x = rng.normal(size=(length, 2))
        if spec.inputs.missing == "mask":
            x[3] = np.nan
        made.append(Sequence(f"s{k}", f"s{k}", x, k % 3))
    return made


def loss_and_gradients(
    model: CompactNet, data: Examples, loss: Loss, keep: slice = slice(None)
) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    x, y, mask, last = (
        torch.from_numpy(a[keep]) for a in (data.x, data.y, data.mask, data.lengths - 1)
    )
    total = loss(model(x)[0], y, mask, last)
    total.backward()
    return total.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("spec", "config"),
    [
        (CLASSIFY, Classify(epochs=1)),
        (CLASSIFY, Classify(epochs=1, loss_steps="last", label_smoothing=0.1)),
        (FORECAST, Numbers(epochs=1)),
        (FORECAST, Numbers(epochs=1, loss="huber")),
    ],
)
def test_a_padded_batch_is_the_sum_of_its_sequences(
    spec: ModelSpec, config: Classify | Numbers
) -> None:
    torch.manual_seed(0)
    model = CompactNet(spec)
    loss = task_of(spec).loss(config, spec)
    data = examples(spec, sequences(spec))
    together, gradients = loss_and_gradients(model, data, loss)
    alone = [loss_and_gradients(model, examples(spec, [s]), loss) for s in sequences(spec)]
    assert together == pytest.approx(sum(value for value, _ in alone), rel=1e-6)
    for k, gradient in enumerate(gradients):
        torch.testing.assert_close(
            gradient, torch.stack([each[k] for _, each in alone]).sum(dim=0), rtol=1e-4, atol=1e-6
        )
    junk = Examples(
        np.where(np.arange(9)[None, :, None] < data.lengths[:, None, None], data.x, 1e3).astype(
            np.float32
        ),
        data.lengths,
        data.mask,
        data.y,
    )
    assert loss_and_gradients(model, junk, loss)[0] == together


def test_losses_against_numpy() -> None:
    torch.manual_seed(0)
    model = CompactNet(CLASSIFY)
    data = examples(CLASSIFY, sequences(CLASSIFY))
    loss = task_of(CLASSIFY).loss(Classify(epochs=1), CLASSIFY)
    logits = model(torch.from_numpy(data.x))[0].detach().double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    expected = -sum(log_p[n, t, data.y[n]] for n in range(4) for t in range(LENGTHS[n]))
    assert loss_and_gradients(model, data, loss)[0] == pytest.approx(expected, rel=1e-6)
    assert loss.counts(data).tolist() == list(LENGTHS)

    model = CompactNet(FORECAST)
    data = examples(FORECAST, sequences(FORECAST))
    loss = task_of(FORECAST).loss(Numbers(epochs=1), FORECAST)
    outputs = model(torch.from_numpy(data.x))[0].detach().double().numpy()
    expected = 0.0
    terms = 0
    for n, sequence in enumerate(sequences(FORECAST)):
        for t in range(LENGTHS[n]):
            truth = [sequence.x[t + k, 1] if t + k < LENGTHS[n] else np.nan for k in (1, 2)]
            if np.isfinite(truth).all():
                expected += sum(
                    (outputs[n, t, k] - (truth[k] - (1.0, 1.5)[k]) / (2.0, 3.0)[k]) ** 2
                    for k in range(2)
                )
                terms += 2
    assert loss_and_gradients(model, data, loss)[0] == pytest.approx(expected, rel=1e-5)
    assert loss.counts(data).sum() == terms


@pytest.mark.parametrize("spec", [CLASSIFY, FORECAST])
@pytest.mark.parametrize("chunk", [4096, 3])
@pytest.mark.parametrize("steps", ["all", "last"])
def test_validation_is_what_evaluate_says(
    spec: ModelSpec, chunk: int, steps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_lstm.results.answers.CHUNK", chunk)
    torch.manual_seed(1)
    model = CompactNet(spec)
    data = sequences(spec)
    config: Classify | Numbers = Numbers(epochs=1)
    if spec is CLASSIFY:
        config = Classify(epochs=1, loss_steps="last" if steps == "last" else "all")
    loss = task_of(spec).loss(config, spec)
    found = Validation(spec, data, loss, Fabric(accelerator="cpu", devices=1))(model)
    made = examples(spec, data)
    total, _ = loss_and_gradients(model, made, loss)
    assert found["val_loss"] == pytest.approx(total / loss.counts(made).sum(), rel=1e-5)
    measured = evaluate(spec, data, answers(model, data))
    for key in ("accuracy", "macro_f1") if spec is CLASSIFY else ("mae", "rmse"):
        assert found[f"val_{key}"] == pytest.approx(measured[key], rel=1e-5)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    rates = [learning_rate(step, 100, 0.1, 2.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == pytest.approx(2.0)
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert learning_rate(0, 1, 0.0, 2.0) == 2.0
