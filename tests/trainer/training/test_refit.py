"""A second training, on the validation split too: of which model, for how long, and its run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_lstm import evaluate, train
from edge_lstm.config.schema import Config
from edge_lstm.results.answers import answers
from edge_lstm.training import loop
from edge_lstm.training.progress import Reporter
from edge_lstm.training.train import make_fabric
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY, FORECAST
from helpers.interrupt import interrupt


@pytest.mark.usefixtures("forecast_csv")
def test_it_is_the_training_on_both_splits(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    """The weights of a training on both splits, for the best number of epochs."""
    config = configure(FORECAST, train__epochs=5, train__learning_rate=0.05, train__refit=True)
    run = train(config, tmp_path / "run", quiet=True)
    best = run.metrics["best_epoch"]
    assert len(run.history) == 5
    assert len((run.path / "refit" / "history.csv").read_text().splitlines()) == 1 + best
    splits = run.splits
    by_hand = loop.Training(
        config.model_copy(update={"train": config.train.model_copy(update={"epochs": best})}),
        run.spec,
        type(splits)(splits.train + splits.val, splits.val, splits.test, splits.channels),
        tmp_path,
        make_fabric(config.train),
        Reporter(quiet=True),
    )
    by_hand.run()
    for name, tensor in by_hand.net.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], tensor, atol=0, rtol=0)
    answered = answers(run.model, splits.test)
    assert run.metrics["test"] == evaluate(run.spec, splits.test, answered, season=10)  # found
    first = torch.load(run.path / "first.pt", weights_only=True)["model"]
    assert any(
        not torch.equal(first[name], tensor) for name, tensor in run.model.state_dict().items()
    )
    run.model.load_state_dict(first)
    unseen = evaluate(run.spec, splits.val, answers(run.model, splits.val), season=10)
    assert run.metrics["val"] == unseen, "of a model that has not seen them"


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize(
    "quantize", ["", "\n[quantize]\nscheme = 'int8'\ntolerance = 0\nepochs = 1\n"]
)
def test_interrupted_and_resumed_equals_uninterrupted(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantize: str
) -> None:
    config = configure(
        CLASSIFY + quantize, train__epochs=4, train__refit=True, train__learning_rate=0.02
    )
    expected = train(config, tmp_path / "whole", quiet=True)
    interrupt(config, tmp_path / "run", "refit", 1, monkeypatch)
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert train(config, tmp_path / "run", resume=True, quiet=True).metrics == expected.metrics
    (
        tmp_path / "run" / "metrics.json"
    ).unlink()  # as if killed before it was written: best.pt is the second model already
    again = train(config, tmp_path / "run", resume=True, quiet=True)
    assert again.metrics == expected.metrics
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(array, again.weights[name])


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize(("rate", "better"), [(0.003, True), (10.0, False)])
def test_fine_tuning_is_chosen_before_and_done_after_it(
    configure: Callable[..., Config], tmp_path: Path, rate: float, better: bool
) -> None:
    """While unseen, the validation split says for how many epochs.

    The model that is kept is tuned for so many, or stays as it is.
    """
    text = (
        FORECAST
        + f"\n[quantize]\nscheme = 'int8'\ntolerance = 0\nepochs = 3\nlearning_rate = {rate}\n"
    )
    run = train(
        configure(text, train__learning_rate=0.01, train__refit=True), tmp_path / "run", quiet=True
    )
    plain = train(configure(text, train__learning_rate=0.01), tmp_path / "plain", quiet=True)
    epochs = run.metrics["quantize"]["best_epoch"]
    assert epochs == plain.metrics["quantize"]["best_epoch"]
    assert bool(epochs) == better
    float_model, refitted, kept = (
        torch.load(run.path / name, weights_only=True)["model"]
        for name in ("float.pt", "refit/last.pt", "best.pt")
    )
    assert all(torch.equal(float_model[name], refitted[name]) for name in refitted)
    assert all(torch.equal(kept[name], refitted[name]) for name in refitted) == (not better)
    if better:
        assert (
            len((run.path / "int8" / "refit" / "history.csv").read_text().splitlines())
            == 1 + epochs
        )


@pytest.mark.usefixtures("classify_csv")
def test_pruning_would_choose_by_what_it_has_seen(configure: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"\[train\] refit = true: expected false with \[prune\]"):
        configure(CLASSIFY, train__refit=True, prune__hidden_size=2)
