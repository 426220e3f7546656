"""The JSON of RTNeural and GuitarML, and NAM, against PyTorch's layers run by the test."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edge_lstm_export.imported import import_net
from edge_lstm_export.importers import importer_of
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.errors import ConversionError

XS = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
Values = dict[str, Any]


class Net(nn.Module):
    """A recurrent layer, a dense one, and the input added to its output."""

    def __init__(self, kind: type[nn.RNNBase], inputs: int, layers: int = 1) -> None:
        super().__init__()
        self.rec = kind(inputs, 5, layers)
        self.lin = nn.Linear(5, 1)

    def forward(self, x: torch.Tensor, skip: int, states: Any = None) -> torch.Tensor:
        y: torch.Tensor = self.lin(self.rec(x, states)[0])
        return y + x[:, :skip] if skip else y


def made(kind: type[nn.RNNBase], inputs: int = 1, layers: int = 1) -> Net:
    torch.manual_seed(1)
    return Net(kind, inputs, layers)


def expected(net: Net, skip: int = 0) -> Any:
    double = copy.deepcopy(net).double()
    xs = torch.from_numpy(XS[:, : net.rec.input_size]).double()
    with torch.no_grad():
        return double(xs, skip).numpy()


def listed(net: nn.Module) -> dict[str, Any]:
    return {name: w.tolist() for name, w in net.state_dict().items()}


def guitarml(net: Net, skip: int) -> Values:
    about = {
        "model": "SimpleRNN",
        "unit_type": net.rec.mode,
        "input_size": net.rec.input_size,
        "hidden_size": 5,
        "num_layers": net.rec.num_layers,
        "output_size": 1,
        "skip": skip,
        "bias_fl": True,
    }
    return {"model_data": about, "state_dict": listed(net)}


def rtneural(net: Net, order: list[int]) -> Values:
    """order: of Keras's gates, the places of torch's."""
    w = {k: v.numpy() for k, v in net.rec.state_dict().items()}

    def columns(rows: Any) -> list[Any]:
        blocks = np.split(rows, len(order))
        found: list[Any] = np.concatenate([blocks[k] for k in order]).T.tolist()
        return found

    kind = net.rec.mode.lower()
    b_x = columns(w["bias_ih_l0"])
    b_h = columns(w["bias_hh_l0"])
    bias = [b_x, b_h] if kind == "gru" else np.add(b_x, b_h).astype(np.float32).tolist()
    recurrent = [columns(w["weight_ih_l0"]), columns(w["weight_hh_l0"]), bias]
    dense = [net.lin.weight.T.tolist(), net.lin.bias.tolist()]
    return {
        "in_shape": [None, None, net.rec.input_size],
        "layers": [
            {"type": kind, "activation": "tanh", "shape": [None, None, 5], "weights": recurrent},
            {"type": "dense", "activation": "", "shape": [None, None, 1], "weights": dense},
        ],
    }


def nam(net: Net, h: float = 0, c: float = 0) -> Values:
    """h, c: of all units at the start."""
    w = {k: v.numpy() for k, v in net.rec.state_dict().items()}
    weights: list[float] = []
    for k in range(net.rec.num_layers):
        both = np.hstack([w[f"weight_ih_l{k}"], w[f"weight_hh_l{k}"]])
        bias = w[f"bias_ih_l{k}"] + w[f"bias_hh_l{k}"]
        weights += [*both.ravel().tolist(), *bias.tolist(), *[h] * 5, *[c] * 5]
    weights += [*net.lin.weight.ravel().tolist(), *net.lin.bias.tolist()]
    config = {"input_size": net.rec.input_size, "hidden_size": 5, "num_layers": net.rec.num_layers}
    return {"version": "0.5.4", "architecture": "LSTM", "config": config, "weights": weights}


NETS: dict[str, tuple[Net, Callable[[Net], Values], int]] = {
    "guitarml": (made(nn.LSTM), lambda net: guitarml(net, 0), 0),
    "guitarml, skip": (made(nn.LSTM), lambda net: guitarml(net, 1), 1),
    "guitarml, condition": (made(nn.LSTM, 2), lambda net: guitarml(net, 1), 1),
    "guitarml, two layers": (made(nn.LSTM, 1, 2), lambda net: guitarml(net, 1), 1),
    "guitarml, gru": (made(nn.GRU), lambda net: guitarml(net, 1), 1),
    "rtneural, lstm": (made(nn.LSTM), lambda net: rtneural(net, [0, 1, 2, 3]), 0),
    "rtneural, gru": (made(nn.GRU), lambda net: rtneural(net, [1, 0, 2]), 0),
    "nam": (made(nn.LSTM), nam, 0),
    "nam, two layers": (made(nn.LSTM, 1, 2), nam, 0),
}


def written(folder: Path, values: Any, name: str = "net.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("name", NETS)
def test_it_answers_as_torch(name: str, tmp_path: Path) -> None:
    net, form, skip = NETS[name]
    path = written(tmp_path, form(net), "net.nam" if "nam" in name else "net.json")
    foreign = importer_of(path).read(path)
    xs = XS[:, : net.rec.input_size]
    right = expected(net, skip)
    # Both biases of an LSTM are one here, in float32.
    last = foreign.network.layers[-1].name
    assert np.abs(layer_outputs(foreign, xs)[last] - right).max() <= 1e-6
    assert np.abs(prove(foreign, xs) - right).max() <= 1e-6


def test_states_that_the_file_begins_with(tmp_path: Path) -> None:
    net = made(nn.LSTM, 1, 2)
    path = written(tmp_path, nam(net, 0.5, -1.25), "net.nam")
    xs = XS[:, :1]
    states = tuple(torch.full((2, 5), value, dtype=torch.float64) for value in (0.5, -1.25))
    with torch.no_grad():
        right = copy.deepcopy(net).double()(torch.from_numpy(xs).double(), 0, states).numpy()
    imported = import_net(path)
    found = layer_outputs(imported.foreign, xs)[imported.foreign.network.layers[-1].name]
    assert np.abs(found - right).max() <= 1e-6
    # A stream begins there on every backend, and begins there again after a reset.
    for backend in (
        numpy_backend(imported.spec, imported.weights),
        NativeBackend(imported.spec, imported.weights),
        NativeBackend(imported.spec, imported.weights, streams=2),
    ):
        rows = xs[:20] if backend.state["lstm0.h"].ndim == 1 else np.stack([xs[:20]] * 2, axis=1)
        first = backend.run(rows)
        assert np.abs(first.reshape(20, -1)[:, 0] - right[:20, 0]).max() <= 1e-5
        backend.reset()
        assert np.array_equal(backend.run(rows), first)
        if rows.ndim == 3:
            backend.reset_streams([1])
            assert (backend.state["lstm0.c"][1] == -1.25).all()
            assert not (backend.state["lstm0.c"][0] == -1.25).any()


@pytest.mark.parametrize("part", ["W_x", "W_h", "b"])
def test_a_net_that_was_read_wrongly_is_refused(part: str, tmp_path: Path) -> None:
    path = written(tmp_path, guitarml(made(nn.LSTM), 1))
    foreign = importer_of(path).read(path)
    weights = foreign.weights[f"lstm0.{part}"]
    blocks = np.split(weights, 4, axis=-1)
    foreign.weights[f"lstm0.{part}"] = np.concatenate([blocks[k] for k in (0, 2, 1, 3)], axis=-1)
    with pytest.raises(ConversionError, match="'lstm0' is the first part that differs from PyT"):
        prove(foreign, XS[:, :1])


LSTM = guitarml(made(nn.LSTM), 0)
KERAS = rtneural(made(nn.LSTM), [0, 1, 2, 3])
GRU = rtneural(made(nn.GRU), [1, 0, 2])


def changed(values: Values, *keys: Any, to: Any) -> Values:
    found = copy.deepcopy(values)
    place: Any = found
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return found


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ([1], "is no JSON object; expected the JSON of RTNeural"),
    "other": ({"a": 1}, r"has the keys \['a'\]; expected the JSON of RTNeural"),
    "lacks weights": (changed(LSTM, "state_dict", to={}), "there is no 'rec.weight_ih_l0'"),
    "no number": (changed(LSTM, "model_data", "input_size", to="1"), "input_size is '1'"),
    "NaN": (
        changed(LSTM, "state_dict", "lin.bias", to=[float("nan")]),
        "a weight is not finite",
    ),
    "unit": (changed(LSTM, "model_data", "unit_type", to="SRU"), "unit_type 'SRU' is not taken"),
    "width": (
        changed(LSTM, "state_dict", "lin.weight", to=[[1.0, 2.0]]),
        r"weight dense1.W is float32\(2, 1\), expected float32\(5, 1\)",
    ),
    "shape": (
        changed(LSTM, "state_dict", "rec.weight_hh_l0", to=[[1.0]]),
        r"the weights of a lstm have the shapes \(20, 1\), \(1, 1\)",
    ),
    "layer": (changed(KERAS, "layers", 1, "type", to="conv1d"), "the layers conv1d are not taken"),
    "activation": (
        changed(KERAS, "layers", 1, "activation", to="elu"),
        "the activation 'elu' of a dense layer is not taken",
    ),
    "of a gate": (
        changed(KERAS, "layers", 0, "activation", to="relu"),
        "the activation 'relu' of a lstm is not taken",
    ),
    "reset before": (
        changed(GRU, "layers", 0, "weights", 2, to=GRU["layers"][0]["weights"][2][0]),
        r"a gru with one bias \(reset_after = false\) is not taken",
    ),
    "skip": (guitarml(made(nn.LSTM), 2), "skip is 2, expected 0 or 1"),
    "wavenet": ({"architecture": "WaveNet"}, "architecture 'WaveNet' is not taken"),
    "too few": (changed(nam(made(nn.LSTM)), "weights", to=[1.0]), "has fewer weights than"),
    "too many": (
        changed(nam(made(nn.LSTM)), "weights", to=[*nam(made(nn.LSTM))["weights"], 1.0]),
        "has 1 weights more than its config says",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str, tmp_path: Path) -> None:
    values, message = REFUSED[name]
    path = written(tmp_path, values)
    with pytest.raises(ConversionError, match=message) as caught:
        import_net(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"layers": NaN}', "\x00"])
def test_no_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(text)
    with pytest.raises(ConversionError, match=r"net\.json: (can't be read|is malformed|has the k)"):
        importer_of(path).read(path)
