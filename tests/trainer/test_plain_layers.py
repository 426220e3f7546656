"""Layers without a recurrent product in training: all steps at once, as the reference does them
one by one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edge_lstm_runtime as rt
from edge_lstm import load_config, train
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm_export import export_c, export_run
from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.model.measured import Measured, read_measured
from helpers.configs import CLASSIFY
from helpers.plain_layers import spec_of
from helpers.specs import feature_rows
from helpers.tolerances import assert_close

LAYERS: dict[str, dict[str, Any]] = {
    "combine": {"inputs": ["x", "x"], "operation": "mul"},
    "scale": {"activation": "tanh"},
    "prelu": {},
    "layer-norm": {},
    "softmax": {},
    "causal-conv": {"units": 5, "kernel": 3, "dilation": 2, "activation": "sigmoid"},
    "embedding": {"count": 4, "units": 5},
}


@pytest.mark.parametrize("kind", LAYERS)
def test_all_steps_at_once(kind: str) -> None:
    """With a state that is carried over a cut, shorter and longer than a causal past."""
    features = 1 if kind == "embedding" else 4
    head = {"type": "dense", "name": "head", "inputs": ["y"], "units": 3}
    spec = spec_of(features, {"type": kind, "name": "y", **LAYERS[kind]}, head)
    torch.manual_seed(2)
    net = CompactNet(spec)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    rows = feature_rows(spec, 40)
    expected = rt.Reference(spec, canonical_weights(net)).run(rows)
    found = []
    state = None
    with torch.inference_mode():
        for part in np.split(rows, [2, 5, 20]):
            y, state = net(torch.from_numpy(part[None]), state)
            found.append(y[0].numpy())
    assert_close(np.concatenate(found), expected, "float32", kind)


def test_where_training_begins() -> None:
    """At layers that change little, not at zero."""
    kinds = ("scale", "prelu", "layer-norm")
    layers = [{"type": kind, "name": kind} for kind in kinds]
    weights = canonical_weights(CompactNet(spec_of(3, *layers)))
    assert {name: set(array.tolist()) for name, array in weights.items()} == {
        "scale.a": {1.0},
        "scale.b": {0.0},
        "prelu.slope": {0.25},
        "layer-norm.a": {1.0},
        "layer-norm.b": {0.0},
    }


def write(folder: Path, layers: str) -> Path:
    """A configuration with these [[model.layers]], and its data."""
    rng = np.random.default_rng(0)
    lines = ["subject,activity,a,b"]
    for subject in range(1, 6):
        for activity, steps, level in (("walk", 20, 1.0), ("rest", 15, -1.0)):
            for a, b in rng.normal(level, 1.0, (steps, 2)):
                lines.append(f"s{subject},{activity},{a:.4f},{b:.4f}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    text = CLASSIFY.replace("hidden_size = 6\n", layers).replace("epochs = 2", "epochs = 6")
    (folder / "c.toml").write_text(text)
    return folder / "c.toml"


NET = """
[[model.layers]]
type = "causal-conv"
units = 8
kernel = 3
dilation = 2
activation = "relu"

[[model.layers]]
type = "layer-norm"

[[model.layers]]
type = "gru"
units = 8

[[model.layers]]
type = "combine"
operation = "add"
inputs = ["gru2", "layer-norm1"]
"""


@pytest.mark.slow
def test_it_trains_and_becomes_a_bundle_and_c(tmp_path: Path) -> None:
    run = train(load_config(write(tmp_path, NET)), tmp_path / "run")
    assert run.history[-1]["train_loss"] < 0.9 * run.history[0]["train_loss"]
    work = export_run(run, tmp_path / "net.edge", schemes=())
    measured = read_measured(rt.read_bundle(work.out).manifest["accuracy"])
    expected = {Measured("numpy"), Measured("onnx", "cell.onnx")}
    assert expected < set(measured)
    for scheme in ("float32", "int8"):
        made = export_c(work.out, tmp_path / scheme, scheme=scheme)  # runs its self-test
        assert made.folder.is_dir()


def test_a_net_without_a_recurrent_product(tmp_path: Path) -> None:
    """There is nothing to round to int8."""
    conv = '[[model.layers]]\ntype = "causal-conv"\nunits = 4\nkernel = 2\n'
    run = train(load_config(write(tmp_path, conv)), tmp_path / "run")
    with pytest.raises(ConversionError) as refused:
        export_c(run, tmp_path / "c", scheme="int8")
    assert str(refused.value) == (
        "int8 rounds the products of recurrent layers and the model has none; "
        "export it with --scheme float32"
    )
    assert not (tmp_path / "c").exists()
