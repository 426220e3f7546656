"""Training models that read from both ends: no padding reaches the direction that begins at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from edge_lstm import CompactNet, evaluate, load_config, load_run, train
from edge_lstm.config.schema import Config
from edge_lstm.data.recordings import Sequence
from edge_lstm.data.windows import examples
from edge_lstm.network import canonical_weights
from edge_lstm.results.answers import answers
from edge_lstm.tasks.classify import TASK, TrainSection
from edge_lstm.training.losses import Loss
from edge_lstm.training.metrics import Validation
from edge_lstm_runtime.backends.reference import reference
from helpers.configs import CLASSIFY
from helpers.specs import make_spec
from helpers.tolerances import assert_close

Configure = Callable[..., Config]
LENGTHS = (9, 4, 1, 7)
both_ways = partial(make_spec, channels=2, hidden=6, layers=2, outputs=3, bidirectional=True)


def sequences() -> list[Sequence]:
    rng = np.random.default_rng(3)
    return [
        Sequence(f"s{n}", "g", rng.normal(size=(length, 2)), n % 3)
        for n, length in enumerate(LENGTHS)
    ]


def gradients_of(
    model: CompactNet, loss: Loss, some: list[Sequence], *, padding: float = 0.0
) -> tuple[float, list[torch.Tensor]]:
    data = examples(model.spec, some)
    x = torch.from_numpy(np.where(data.mask[..., None], data.x, np.float32(padding)))
    lengths = torch.from_numpy(data.lengths)
    value = loss(
        model(x, lengths=lengths)[0],
        torch.from_numpy(data.y),
        torch.from_numpy(data.mask),
        lengths - 1,
    )
    model.zero_grad()
    value.backward()
    return value.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("layers", [1, 3])
def test_the_model_is_the_reference_at_unequal_lengths(layers: int) -> None:
    spec = both_ways(layers=layers, missing="ffill")
    torch.manual_seed(layers)
    model = CompactNet(spec)
    data = sequences()
    data[0].x[0, 0] = data[3].x[4, 1] = np.nan
    weights = canonical_weights(model)
    spec.network.check_weights(weights)
    for sequence, answer in zip(data, answers(model, data), strict=True):
        np.testing.assert_allclose(
            answer,
            reference(spec, weights).run(spec.features(sequence.x)),
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.mark.parametrize("steps", ["all", "last"])
def test_padding_reaches_neither_answers_nor_gradients(steps: str) -> None:
    torch.manual_seed(0)
    model = CompactNet(both_ways())
    config = TrainSection(epochs=1, loss_steps="last" if steps == "last" else "all")
    loss = TASK.loss(config, model.spec)
    value, gradients = gradients_of(model, loss, sequences())
    alone = [gradients_of(model, loss, [s]) for s in sequences()]
    assert value == pytest.approx(sum(each for each, _ in alone), rel=1e-6)
    assert len(gradients) == len(list(model.parameters())) == 2 * 2 * 4 + 2
    for k, gradient in enumerate(gradients):
        torch.testing.assert_close(
            gradient, torch.stack([each[k] for _, each in alone]).sum(dim=0), rtol=1e-4, atol=1e-6
        )
    assert gradients_of(model, loss, sequences(), padding=1e3)[0] == value


@pytest.mark.parametrize("steps", ["all", "last"])
def test_validation_is_what_evaluate_says(steps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_lstm.results.answers.CHUNK", 3)  # which must cut nothing here
    torch.manual_seed(1)
    model = CompactNet(both_ways())
    data = sequences()
    config = TrainSection(epochs=1, loss_steps="last" if steps == "last" else "all")
    loss = TASK.loss(config, model.spec)
    found = Validation(model.spec, data, loss, Fabric(accelerator="cpu", devices=1))(model)
    total, _ = gradients_of(model, loss, data)
    assert found["val_loss"] == pytest.approx(
        total / loss.counts(examples(model.spec, data)).sum(), rel=1e-5
    )
    measured = evaluate(model.spec, data, answers(model, data))
    for key in ("accuracy", "macro_f1"):
        assert found[f"val_{key}"] == pytest.approx(measured[key], rel=1e-5)


def test_initial_weights_of_both_directions() -> None:
    weights = canonical_weights(CompactNet(both_ways()))
    for prefix in ("lstm0", "lstm0.reverse", "lstm1", "lstm1.reverse"):
        for block in np.split(weights[f"{prefix}.W_h"], 4, axis=1):
            assert_close(block @ block.T, np.eye(6), "float32", "W_h of a gate")
        np.testing.assert_array_equal(
            weights[f"{prefix}.b"], np.repeat([0, 1, 0, 0], 6).astype(np.float32)
        )
        inputs = weights[f"{prefix}.W_x"]
        bound = np.sqrt(6 / (len(inputs) + 6))
        assert 0.7 * bound < np.abs(inputs).max() <= bound
    assert not np.array_equal(weights["lstm0.W_x"], weights["lstm0.reverse.W_x"])


def test_summary_counts_by_hand() -> None:
    # 2 inputs, then 12 of both directions. 6 units and 2 directions a layer. 3 classes.
    parameters = 2 * 4 * 6 * (2 + 6 + 1) + 2 * 4 * 6 * (12 + 6 + 1) + 12 * 3 + 3
    text = CompactNet(both_ways()).summary()
    assert "lstm 6 both ways -> lstm 6 both ways" in text
    assert f"{parameters:,}" in text
    assert f"{2 * 24 * 8 + 2 * 24 * 18 + 36 + 3 * 6 * 2 * 2:,}" in text


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize("steps", ["all", "last"])
def test_a_run_learns_from_unequal_lengths(
    configure: Configure, tmp_path: Path, steps: str
) -> None:
    """The subjects walk 20 rows and rest 15."""
    config = configure(
        CLASSIFY,
        model__bidirectional=True,
        train__epochs=8,
        train__learning_rate=0.02,
        train__loss_steps=steps,
    )
    run = train(config, tmp_path / "run", quiet=True)
    assert run.spec.whole
    assert {len(s.x) for s in run.splits.train} == {15, 20}
    assert run.metrics["test"]["accuracy"] == 1.0
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    by_reference = [
        reference(run.spec, run.weights).run(run.spec.features(s.x)) for s in run.splits.test
    ]
    assert (
        evaluate(run.spec, run.splits.test, by_reference)["confusion"]
        == run.metrics["test"]["confusion"]
    )
    assert load_run(tmp_path / "run").weights.keys() == run.spec.network.weights.keys()
    assert load_config(run.path / "config.toml").model.bidirectional


@pytest.mark.usefixtures("classify_csv")
def test_nothing_is_carried(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of `carry` is simply off."""
    states = []
    forward = CompactNet.forward

    def watched(
        self: CompactNet, features: torch.Tensor, state: object = None, lengths: object = None
    ) -> object:
        states.append(state)
        return forward(self, features, state, lengths)  # type: ignore[arg-type]

    monkeypatch.setattr(CompactNet, "forward", watched)
    train(
        configure(CLASSIFY, model__bidirectional=True, train__batch_size=2),
        tmp_path / "run",
        quiet=True,
    )
    assert len(states) > 6
    assert set(states) == {None}
