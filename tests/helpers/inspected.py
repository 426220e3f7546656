"""Runs of random weights for `edge-lstm inspect` to look into."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from edge_lstm import CompactNet, Run, Sequence, Splits
from edge_lstm.config.schema import Config
from edge_lstm.network import canonical_weights
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.inputs.channels import Channels as ChannelInputs
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.specs import chain, changed, language_spec

SEED = 0


def forecast_spec(**changes: Any) -> ModelSpec:
    """changes: of the inputs and the answer."""
    inputs = ChannelInputs(("a", "b"), (10.0, -2.0), (2.0, 0.5))
    answer = Forecast(("b", "a"), 2, (-2.0, 10.0, -2.0, 10.0), (0.5, 2.0, 0.5, 2.0))
    return changed(ModelSpec(inputs, chain(2, 5, 2, 4), answer), **changes)


def classify_spec(layers: int = 2, **changes: Any) -> ModelSpec:
    inputs = ChannelInputs(("a", "b", "c"), (10.0, -2.0, 0.0), (2.0, 0.5, 1.0))
    spec = ModelSpec(inputs, chain(3, 5, layers, 3), Classify(("x", "y", "z")))
    return changed(spec, **changes)


def text_spec() -> ModelSpec:
    return language_spec(("<unk>", *" abcde"), hidden=5, layers=2)


def uneven_spec() -> ModelSpec:
    """Two LSTM layers of two sizes."""
    spec = classify_spec()
    layers = (Lstm("wide", ("x",), 7), Lstm("narrow", ("wide",), 4), Dense("out", ("narrow",), 3))
    return ModelSpec(spec.inputs, Network(3, layers), spec.answer)


def sequences(spec: ModelSpec, *lengths: int, gaps: bool = False) -> list[Sequence]:
    rng = np.random.default_rng(SEED)
    found = []
    for k, length in enumerate(lengths):
        if spec.answer.task == "language":
            x = rng.integers(1, len(spec.answer.classes), (length, 1)).astype(float)
        else:
            x = rng.normal(spec.inputs.mean, spec.inputs.std, (length, spec.inputs.size))
        if gaps:
            x[rng.random(x.shape) < 0.1] = np.nan
        found.append(Sequence(f"s{k}", "g", x, k % 3 if spec.answer.task == "classify" else None))
    return found


def run_of(spec: ModelSpec, test: list[Sequence], loss_steps: str = "all") -> Run:
    """A run of random weights, without a training."""
    torch.manual_seed(SEED)
    model = CompactNet(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    model.eval()
    answer = spec.answer
    model_keys = {"task": answer.task, "hidden_size": 5, "num_layers": 2}
    data: dict[str, object] = {"source": "npz", "path": "x.npz", "split": {"by": "group"}}
    train_keys: dict[str, object] = {"epochs": 1}
    if answer.task == "language":
        data = {"source": "text", "path": "x.txt", "split": {"by": "time"}, "window": 10}
    elif answer.task == "classify":
        train_keys["loss_steps"] = loss_steps
    else:
        model_keys["horizon"] = answer.horizon
    config = Config.from_dict({"data": data, "model": model_keys, "train": train_keys}, ".")
    run = Run("run", config, spec, canonical_weights(model), [], {}, "", model)
    # in place of the data that there is not
    run.__dict__["splits"] = Splits(
        test, test, test, spec.inputs.names, getattr(answer, "classes", ())
    )
    return run


def normalized(spec: ModelSpec, x: np.ndarray) -> np.ndarray:
    return (x - np.array(spec.inputs.mean)) / np.array(spec.inputs.std)
