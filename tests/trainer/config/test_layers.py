"""[[model.layers]]: a network as a list of tables, and every mistake in it as one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edge_lstm import load_config, train
from edge_lstm.config.schema import Config
from edge_lstm.network import CompactNet
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY, FORECAST

LAYERS = """
[[model.layers]]
type = "dense"
units = 5
activation = "tanh"

[[model.layers]]
type = "lstm"
name = "memory"
units = 7

[[model.layers]]
type = "lstm"
units = 4
inputs = ["memory", "dense0"]

[train]"""
LISTED = CLASSIFY.replace("hidden_size = 6\n", "").replace("\n[train]", LAYERS)


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return load_config(path)


def test_the_layers_are_those_of_the_file_and_a_head(tmp_path: Path) -> None:
    config = load(tmp_path, LISTED)
    network = config.model.network(2, 3)
    assert [dataclasses.astuple(layer) for layer in network.layers] == [
        ("dense0", ("x",), (), 5, "tanh"),
        ("memory", ("dense0",), (), 7),
        ("lstm2", ("memory", "dense0"), (), 4),
        ("head", ("lstm2",), (), 3, "none"),
    ]
    assert config.model.units == 7
    path = tmp_path / "again.toml"
    path.write_text(config.to_toml())
    assert load_config(path) == config


def test_the_short_form_is_the_common_net(tmp_path: Path) -> None:
    config = load(tmp_path, CLASSIFY.replace("hidden_size = 6", "hidden_size = 6\nnum_layers = 2"))
    named = [(n.name, n.inputs, n.outputs(1)) for n in config.model.network(2, 3).layers]
    assert named == [("lstm0", ("x",), 6), ("lstm1", ("lstm0",), 6), ("head", ("lstm1",), 3)]


@pytest.mark.usefixtures("classify_csv")
def test_it_trains(tmp_path: Path) -> None:
    run = train(load(tmp_path, LISTED), tmp_path / "run")
    assert isinstance(run.model, CompactNet)
    assert [layer.name for layer in run.spec.network.layers] == [
        "dense0",
        "memory",
        "lstm2",
        "head",
    ]
    assert list(run.spec.network.state) == ["memory.h", "memory.c", "lstm2.h", "lstm2.c"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"dense"', '"dance"', "layer 'dance0': type is 'dance', expected one of "),
        ("units = 7", "units = 0", "layer 'memory': units is 0, expected a whole number from 1 to"),
        ("units = 7", "", "layer 'memory': lacks ['units']"),
        ("units = 7", "unit = 7", "layer 'memory': has unknown keys ['unit']; type 'lstm' has "),
        ('"memory", "d', '"memori", "d', "layer 'lstm2': reads 'memori', and there is no such"),
        ('"memory", "d', '"lstm2", "d', "layer 'lstm2': reads 'lstm2', which does not come before"),
        ('name = "memory"', 'name = "dense0"', "layer 'dense0': the name is there twice"),
        ('name = "memory"', 'name = "x"', "layer 'x': the name stands for the features"),
        ('"tanh"', '"tan"', "layer 'dense0': activation is 'tan', expected one of 'none', 'tanh'"),
        ('type = "dense"\n', "", "layer 'None0': type is None, expected one of "),
    ],
)
def test_a_wrong_layer_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = LISTED.replace(old, new)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    line = text.splitlines().index("[[model.layers]]") + 1
    place = f"{tmp_path / 'c.toml'}:{line}: [model] layers: "
    assert str(caught.value).startswith(place + expected)
    assert "\n" not in str(caught.value)


def both_ways(text: str) -> str:
    inner = '{ type = "lstm", units = 4 }'
    layer = f'[[model.layers]]\ntype = "both-ways"\nlayer = {inner}\n\n[train]'
    return text.replace("hidden_size = 6\n", "").replace("[train]", layer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            LISTED.replace('task = "classify"', 'task = "classify"\nhidden_size = 6'),
            "[model] hidden_size = 6: has no meaning with [[model.layers]]; remove it",
        ),
        (
            LISTED.replace('task = "classify"', 'task = "classify"\nbidirectional = true'),
            "[model] bidirectional = true: has no meaning with [[model.layers]]; list layers of "
            "type "
            '"both-ways"',
        ),
        (
            CLASSIFY.replace("hidden_size = 6\n", ""),
            "[model] hidden_size: is missing; expected the units of each layer, or "
            "[[model.layers]] in "
            "its place",
        ),
        (
            LISTED.replace("[train]", "[distill]\nhidden_size = 20\n[train]"),
            "[distill] hidden_size = 20: a network with [[model.layers]] has no larger one by "
            "itself; "
            "train a teacher and name it in `teacher`",
        ),
        (
            both_ways(FORECAST),
            "[model] layers: task is 'forecast', and only task 'classify' reads whole sequences "
            "from "
            "both ends",
        ),
        (
            both_ways(CLASSIFY).replace("epochs = 2", "epochs = 2\ncarry = 0.5"),
            "[train] carry = 0.5: expected 0: a bidirectional model carries no state; remove it",
        ),
    ],
)
def test_what_the_layers_contradict(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    _, _, said = str(caught.value).partition(": ")
    assert said == expected


W8A8 = '[quantize]\nscheme = "w8a8"\n[train]'
CLIPPED = (
    "which can be beyond 1 and would be clipped; expected a layer that ends in tanh or sigmoid"
)


def listed(*layers: str, rest: str = "[train]") -> str:
    tables = ", ".join(f"{{ {layer} }}" for layer in layers)
    return CLASSIFY.replace("hidden_size = 6", f"layers = [{tables}]").replace("[train]", rest)


FIRST = 'type = "lstm", name = "a", units = 4'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            listed(FIRST, 'type = "gru", units = 5, inputs = ["x"]'),
            "layers: layer 'a': no layer reads it, so it would be trained for nothing; read it in "
            "`inputs`, or remove it",
        ),
        (
            listed(
                FIRST,
                'type = "gru", name = "b", units = 5, inputs = ["x"]',
                'type = "dense", units = 4, inputs = ["a", "b"]',
                rest="dropout = 0.5\n[train]",
            ),
            "dropout = 0.5: works between recurrent layers, and none of them reads another here; "
            "expected 0",
        ),
        (
            listed('type = "dense", units = 4', rest="dropout = 0.5\n[train]"),
            "dropout = 0.5: works between recurrent layers, and none of them reads another here; "
            "expected 0",
        ),
        (
            CLASSIFY.replace("hidden_size = 6", "hidden_size = 20000"),
            "hidden_size = 20000: layer 'lstm0': units is 20000, expected a whole number from 1 to "
            "16384",
        ),
        (
            listed('type = "rnn", name = "r", units = 4, activation = "relu"', rest=W8A8),
            f"scheme = 'w8a8': the int8 cell of r multiplies its own output, {CLIPPED}; change the "
            "layers, or remove the section",
        ),
        (
            listed('type = "dense", units = 4, activation = "tanh"', rest=W8A8),
            "scheme = 'w8a8': no layer multiplies its state, and the int8 cell is made of such "
            "layers; change the layers, or remove the section",
        ),
    ],
)
def test_a_network_that_would_not_be_what_it_says(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    section = "quantize" if expected.startswith("scheme") else "model"
    _, _, said = str(caught.value).partition(": ")
    assert said.replace('"', "'") == f"[{section}] {expected}"


def test_a_network_with_bounded_states_is_fine_tuned_for_w8a8(tmp_path: Path) -> None:
    dense = 'type = "dense", units = 4, activation = "relu"'
    text = listed(FIRST, dense, 'type = "rnn", units = 3, inputs = ["dense1", "x"]', rest=W8A8)
    assert load(tmp_path, text).quantize is not None


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (
            '{ type = "both-ways", layer = { type = "lstm", units = 4 } }',
            "layer 'both-ways0': both-ways of 'both-ways', which reads whole sequences itself",
        ),
        ('{ type = "dense", units = 4 }', "layer 'both-ways0': type 'dense' can't be trained both"),
        (
            '{ type = "gru", units = 4, linear_before_reset = false }',
            "layer 'both-ways0': linear_before_reset is false, expected true for a layer that "
            "reads both ways",
        ),
    ],
)
def test_a_layer_that_torch_cannot_train_both_ways(
    tmp_path: Path, inner: str, expected: str
) -> None:
    text = both_ways(CLASSIFY).replace('{ type = "lstm", units = 4 }', inner)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert "[model] layers: " + expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_both_ways_by_layers_is_the_bidirectional_net(tmp_path: Path) -> None:
    listed: Any = load(tmp_path, both_ways(CLASSIFY)).model.network(2, 3)
    short = CLASSIFY.replace("hidden_size = 6", "hidden_size = 4\nbidirectional = true")
    usual: Any = load(tmp_path, short).model.network(2, 3)
    assert listed.layers[0].layer.units == usual.layers[0].layer.units == 4
    assert listed.weights.keys() == {n.replace("lstm0", "both-ways0") for n in usual.weights}
