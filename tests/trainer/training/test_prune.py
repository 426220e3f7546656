"""Pruning finds units that do not matter and leaves no trace. A pruned run is like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_lstm import train
from edge_lstm.cli.train import closing
from edge_lstm.config.common import PruneConfig
from edge_lstm.config.schema import Config
from edge_lstm.config.sections import CarriedTrainConfig
from edge_lstm.data.examples import Examples
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm.results.sizes import sentence
from edge_lstm.stateful import stateful
from edge_lstm.training.prune import (
    importance,
    keep_units,
    resized,
    settings,
    sizes,
    strongest,
)
from edge_lstm_runtime import ModelSpec, Reference
from edge_lstm_runtime.backends.reference import reference
from helpers.configs import CLASSIFY, FORECAST
from helpers.interrupt import interrupt
from helpers.specs import hidden_size, lstm_names, plain_spec
from helpers.tolerances import assert_close

PRUNE = "\n[prune]\nhidden_size = 3\nsteps = 2\nepochs = 2\nlearning_rate = 0.003\n"


def random_examples(count: int = 20) -> Examples:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 13, count)
    mask = np.arange(12) < lengths[:, None]
    x = rng.normal(size=(count, 12, 3)).astype(np.float32) * mask[..., None]
    return Examples(x, lengths, mask, rng.integers(0, 3, count))


@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (3, False), (2, True)])
def test_units_without_outgoing_weights_are_found_and_leave_no_trace(
    layers: int, bidirectional: bool
) -> None:
    spec = plain_spec(layers, 10, bidirectional=bidirectional)
    torch.manual_seed(layers)
    net = CompactNet(spec)
    rng = np.random.default_rng(1)
    directions = 1 + bidirectional
    names = lstm_names(spec)
    assert [layer.name for layer in stateful(spec.network)] == names
    # Outputs of a layer, those of the backward direction after those of the forward one.
    idle = {
        name: [10 * k + int(unit) for k in range(directions) for unit in rng.permutation(10)[:4]]
        for name in names
    }
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, reader in zip(names, [*names[1:], "head"], strict=True):
            meeting = dict(net.module(reader).named_parameters())
            for read in ("linear.weight", "rnn.weight_ih_l0", "rnn.weight_ih_l0_reverse"):
                if read in meeting:
                    meeting[read][:, idle[name]] = 0
            own = dict(net.module(name).named_parameters())
            for output in idle[name]:
                suffix = "_reverse" if output >= 10 else ""
                own[f"rnn.weight_hh_l0{suffix}"][:, output % 10] = 0
    scores = importance(spec, net.state_dict(), random_examples())
    keep = strongest(spec, scores, 6)
    for name in names:
        assert sorted([*keep[name].tolist(), *idle[name]]) == list(range(10 * directions))
        assert scores[name][keep[name]].min() > 0
    small = CompactNet(resized(spec, 6))
    assert small.spec == plain_spec(layers, 6, bidirectional=bidirectional)
    small.load_state_dict(keep_units(spec, net.state_dict(), keep))
    rows = rng.normal(size=(200, 3))
    before = reference(spec, canonical_weights(net)).run(rows)
    # float64 sums of the same terms in another order.
    assert_close(reference(small.spec, canonical_weights(small)).run(rows), before, "float64", "y")


def test_importance_is_the_deviation_of_h_times_the_norm_of_what_it_meets() -> None:
    """By the float64 reference, which streams each sequence without its padding."""
    spec = plain_spec(2, 4)
    data = random_examples(8)
    torch.manual_seed(0)
    net = CompactNet(spec)
    scores = importance(spec, net.state_dict(), data)
    weights = canonical_weights(net)
    backend = Reference(spec, weights)
    found: list[Any] = []
    for x, length in zip(data.x, data.lengths, strict=True):
        backend.reset()
        for row in x[:length]:
            backend.step(row)
            found.append(backend.state)
    for layer, above in (("lstm0", "lstm1.W_x"), ("lstm1", "head.W")):
        deviation = np.std([state[f"{layer}.h"] for state in found], axis=0)  # (H,)
        norms = np.sqrt(
            (weights[f"{layer}.W_h"] ** 2).sum(axis=1) + (weights[above] ** 2).sum(axis=1)
        )
        np.testing.assert_allclose(scores[layer], deviation * norms, rtol=1e-4)


@pytest.mark.parametrize(
    ("before", "after", "steps", "expected"),
    [(64, 32, 3, [51, 40, 32]), (8, 7, 3, [7]), (10, 4, 1, [4]), (64, 8, 3, [32, 16, 8])],
)
def test_rounds_end_at_the_size_asked_for(
    before: int, after: int, steps: int, expected: list[int]
) -> None:
    assert sizes(before, after, steps) == expected


def test_defaults_follow_from_the_training() -> None:
    found = settings(
        CarriedTrainConfig(epochs=30, learning_rate=0.02, carry=0.25), PruneConfig(hidden_size=8)
    )
    assert found == CarriedTrainConfig(epochs=6, learning_rate=0.01, carry=0.25)


@pytest.mark.usefixtures("forecast_csv")
def test_a_pruned_run_is_an_ordinary_run_of_fewer_units(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    config = configure(
        FORECAST + PRUNE, train__epochs=6, train__learning_rate=0.01, model__num_layers=2
    )
    run = train(config, tmp_path / "run", quiet=True)
    assert hidden_size(run.spec) == 3
    assert run.weights["lstm1.W_x"].shape == (3, 12)
    full = torch.load(run.path / "full.pt", weights_only=True)
    assert hidden_size(ModelSpec.from_dict(full["spec"])) == 6
    rows = run.metrics["compact"]
    assert [row["model"] for row in rows] == [
        "before pruning",
        "cut to 4",
        "4, fine-tuned",
        "cut to 3",
        "3, fine-tuned",
    ]
    assert [row["units"] for row in rows] == ["6", "4", "4", "3", "3"]
    assert rows[-1]["test"]["rmse"] == run.metrics["test"]["rmse"]
    assert rows[-1]["parameters"] == run.spec.network.parameters < rows[0]["parameters"]
    assert rows[-1]["macs"] == run.spec.network.macs_per_step
    # this net is far from its best: any training helps
    assert rows[-1]["val"]["rmse"] < rows[-2]["val"]["rmse"]
    assert (run.path / "compact.png").stat().st_size > 5000
    assert len((run.path / "prune" / "round2" / "history.csv").read_text().splitlines()) == 3
    assert "3, fine-tuned" in closing(run)
    assert f"cut to 3: 3 units, {run.spec.network.parameters:,} parameters, " in sentence(rows)
    assert Config.from_dict(run.config.to_dict(), run.config.folder) == run.config


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize("where", [pytest.param("round1", marks=pytest.mark.slow), "round2"])
def test_interrupted_while_pruned_and_resumed_equals_uninterrupted(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    config = configure(
        CLASSIFY + PRUNE + "\n[quantize]\nscheme = 'int8'\ntolerance = 0\n", prune__epochs=3
    )
    expected = train(config, tmp_path / "whole", quiet=True)
    tuned = torch.load(expected.path / "float.pt", weights_only=True)
    assert hidden_size(ModelSpec.from_dict(tuned["spec"])) == 3
    interrupt(config, tmp_path / "run", where, 2, monkeypatch)
    resumed = train(config, tmp_path / "run", resume=True, quiet=True)
    assert resumed.metrics == expected.metrics
    (
        resumed.path / "metrics.json"
    ).unlink()  # as if killed before it was written: best.pt is the pruned model already
    again = train(config, tmp_path / "run", resume=True, quiet=True)
    assert again.metrics == expected.metrics
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(array, again.weights[name])
